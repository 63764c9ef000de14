//go:build tools

// Package crds pins Istio's API module for its kubernetes/customresourcedefinitions.gen.yaml.
package crds

import _ "istio.io/api/networking/v1"
