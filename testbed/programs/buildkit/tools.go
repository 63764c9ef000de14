//go:build tools

// Package tools pins buildkit's commands, so that `go build` finds them in this module's go.sum.
package tools

import (
	_ "github.com/moby/buildkit/cmd/buildctl"
	_ "github.com/moby/buildkit/cmd/buildkitd"
)
