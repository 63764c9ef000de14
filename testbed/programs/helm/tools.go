//go:build tools

// Package tools pins helm's command, so that `go build` finds it in this module's go.sum.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
