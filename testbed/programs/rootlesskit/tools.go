//go:build tools

// Package tools pins rootlesskit's command, so that `go build` finds it in this module's go.sum.
package tools

import _ "github.com/rootless-containers/rootlesskit/v2/cmd/rootlesskit"
