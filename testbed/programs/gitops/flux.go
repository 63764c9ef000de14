package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/utils"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The group of Flux's Kustomizations, which is in all marks that they leave and heed.
const group = "kustomize.toolkit.fluxcd.io"

// The field manager of what they apply.
const controller = "kustomize-controller"

// change is what became of an object.
type change struct {
	Object string `json:"object"`
	Result string `json:"result"`
}

// flux applies a folder as the controller of Kustomizations does with `prune: true`: by server-side apply where something differs,
// by force, after the fields of kubectl's were taken over. The inventory says what was there last time.
func flux(ctx context.Context, args []string) error {
	folder, namespace, inventory := args[0], args[1], args[2]
	config, err := cluster()
	if err != nil {
		return err
	}
	reach, err := client.New(config, client.Options{})
	if err != nil {
		return err
	}
	manager := ssa.NewResourceManager(reach, nil, ssa.Owner{Field: controller, Group: group})
	name := filepath.Base(folder)
	objects, err := inFolder(folder, namespace)
	if err != nil {
		return err
	}
	manager.SetOwnerLabels(objects, name, namespace)
	applied, err := manager.ApplyAllStaged(ctx, objects, asControllerDoes())
	if err != nil {
		return err
	}
	if err := told(applied); err != nil {
		return err
	}
	stale, err := leftOut(objects, inventory)
	if err != nil {
		return err
	}
	deleted, err := manager.DeleteAll(ctx, stale, ssa.DeleteOptions{
		PropagationPolicy: metav1.DeletePropagationBackground,
		Inclusions:        manager.GetOwnerLabels(name, namespace),
		Exclusions:        map[string]string{group + "/prune": "disabled", group + "/reconcile": "disabled"},
	})
	if err != nil {
		return err
	}
	if err := told(deleted); err != nil {
		return err
	}
	text, err := utils.ObjectsToYAML(objects)
	if err != nil {
		return err
	}
	return os.WriteFile(inventory, []byte(text), 0o600)
}

func asControllerDoes() ssa.ApplyOptions {
	options := ssa.DefaultApplyOptions()
	options.ExclusionSelector = map[string]string{group + "/reconcile": "disabled", group + "/ssa": "Ignore"}
	options.IfNotPresentSelector = map[string]string{group + "/ssa": "IfNotPresent"}
	options.ForceSelector = map[string]string{group + "/force": "enabled"}
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: controller, OperationType: metav1.ManagedFieldsOperationUpdate},
		},
		Exclusions: map[string]string{group + "/ssa": "Merge"},
	}
	return options
}

// leftOut gives what the inventory has and the folder has not.
func leftOut(objects []*unstructured.Unstructured, inventory string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(inventory)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	before, err := objectsOf(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", inventory, err)
	}
	wanted := map[string]bool{}
	for _, object := range objects {
		wanted[utils.FmtUnstructured(object)] = true
	}
	var stale []*unstructured.Unstructured
	for _, object := range before {
		if !wanted[utils.FmtUnstructured(object)] {
			stale = append(stale, object)
		}
	}
	return stale, nil
}

func told(changes *ssa.ChangeSet) error {
	for _, entry := range changes.Entries {
		if err := say(change{entry.Subject, entry.Action.String()}); err != nil {
			return err
		}
	}
	return nil
}
