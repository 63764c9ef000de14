package main

import (
	"context"

	fluxcopy "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	original "sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// reading is what kstatus says: the original, and the copy that Flux and Helm 4 are built with.
type reading struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Flux    string `json:"flux"`
}

func kstatus(_ context.Context, _ []string) error {
	return each(func(object *unstructured.Unstructured) (any, error) {
		first, err := original.Compute(object)
		if err != nil {
			return nil, err
		}
		second, err := fluxcopy.Compute(object)
		if err != nil {
			return nil, err
		}
		return reading{first.Status.String(), first.Message, second.Status.String()}, nil
	})
}
