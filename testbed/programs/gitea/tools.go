//go:build tools

// Package tools pins Gitea's command, so that `go build` finds it in this module's go.sum.
package tools

import (
	_ "code.gitea.io/gitea"
)
