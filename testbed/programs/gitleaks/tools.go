//go:build tools

// Package tools pins gitleaks's command, so that `go build` finds it in this module's go.sum.
package tools

import (
	_ "github.com/zricethezav/gitleaks/v8"
)
