//go:build tools

// Package tools pins Alertmanager's command, so that `go build` finds it in this module's go.sum.
package tools

import (
	_ "github.com/prometheus/alertmanager/cmd/alertmanager"
)
