//go:build tools

// Package tools pins k6's command, so that `go build` finds it in this module's go.sum.
package tools

import (
	_ "go.k6.io/k6"
)
