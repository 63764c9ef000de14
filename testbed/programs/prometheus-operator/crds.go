//go:build tools

// Package crds pins the module of the Prometheus Operator for the definition of its rules.
package crds

import _ "github.com/prometheus-operator/prometheus-operator"
