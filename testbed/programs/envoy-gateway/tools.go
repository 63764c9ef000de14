//go:build tools

// Package tools pins envoy-gateway's command, so that `go build` finds it in this module's go.sum.
package tools

import _ "github.com/envoyproxy/gateway/cmd/envoy-gateway"
