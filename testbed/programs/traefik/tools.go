//go:build tools

// Package tools pins traefik's commands, so that `go build` finds them in this module's go.sum.
package tools

import (
	_ "github.com/traefik/traefik/v3/cmd/traefik"
)
