//go:build tools

// Package crds pins the Gateway API's module for its config/crd/standard folder.
package crds

import _ "sigs.k8s.io/gateway-api/apis/v1"
