//go:build tools

// Package tools pins osv-scanner's command, so that `go build` finds it in this module's go.sum.
package tools

import (
	_ "github.com/google/osv-scanner/v2/cmd/osv-scanner"
)
