//go:build tools

// Package tools pins syft's command, so that `go build` finds it in this module's go.sum.
package tools

import (
	_ "github.com/anchore/syft/cmd/syft"
)
