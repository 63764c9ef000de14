//go:build tools

// Package tools pins prometheus's command, so that `go build` finds it in this module's go.sum.
package tools

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
