//go:build tools

// Package tools pins cosign's command, so that `go build` finds it in this module's go.sum.
package tools

import (
	_ "github.com/sigstore/cosign/v3/cmd/cosign"
)
