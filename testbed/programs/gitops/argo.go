package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/argoproj/gitops-engine/pkg/cache"
	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/engine"
	"github.com/argoproj/gitops-engine/pkg/sync"
	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// tracking is how Argo CD knows what is its own.
const tracking = "argocd.argoproj.io/tracking-id"

// mark is what the cache keeps of an object: whose it is.
type mark struct{ application string }

// watched has the cache look at few kinds, as `resource.inclusions` does.
type watched struct{}

func (watched) IsExcludedResource(group, kind, _ string) bool {
	switch group {
	case "slipway.dev", "gateway.networking.k8s.io":
		return false
	case "":
		return kind != "ConfigMap" && kind != "Service"
	case "apps":
		return kind != "ReplicaSet" && kind != "ControllerRevision"
	default:
		return true
	}
}

// state is what of an Application differs from its cluster.
type state struct {
	OutOfSync []string `json:"outOfSync"`
	Extra     []string `json:"extra"`
}

// argo does what an Application with `prune: true` does. First it says what differs; then, unless only that was asked for, it
// syncs, by patches computed on the client or by server-side apply, and says what became of each object.
func argo(ctx context.Context, args []string) error {
	folder, namespace, mode := args[0], args[1], args[2]
	known := scripts{}
	if len(args) > 3 {
		var err error
		if known, err = scriptsOf(args[3]); err != nil {
			return err
		}
	}
	config, err := cluster()
	if err != nil {
		return err
	}
	application := filepath.Base(folder)
	objects, err := inFolder(folder, namespace)
	if err != nil {
		return err
	}
	for _, object := range objects {
		annotations := object.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		kind := object.GroupVersionKind()
		annotations[tracking] = fmt.Sprintf("%s:%s/%s:%s/%s", application, kind.Group, kind.Kind, namespace, object.GetName())
		object.SetAnnotations(annotations)
	}
	log := logr.Discard()
	live := cache.NewClusterCache(config,
		cache.SetNamespaces([]string{namespace}),
		cache.SetLogr(log),
		cache.SetSettings(cache.Settings{ResourceHealthOverride: known, ResourcesFilter: watched{}}),
		cache.SetPopulateResourceInfoHandler(func(object *unstructured.Unstructured, _ bool) (any, bool) {
			owner := ownerOf(object)
			return &mark{owner}, owner != ""
		}))
	synchronizer := engine.NewEngine(config, live, engine.WithLogr(log))
	stop, err := synchronizer.Run()
	if err != nil {
		return err
	}
	defer stop()
	// What has an owner is nobody's to prune, whatever marks it has.
	isManaged := func(resource *cache.Resource) bool {
		found, ok := resource.Info.(*mark)
		return ok && found.application == application && len(resource.OwnerRefs) == 0
	}
	before, err := compared(objects, live, isManaged, namespace)
	if err != nil {
		return err
	}
	if err := say(before); err != nil || mode == "diff" {
		return err
	}
	results, err := synchronizer.Sync(ctx, objects, isManaged, "HEAD", namespace,
		sync.WithLogr(log),
		sync.WithPrune(true),
		sync.WithHealthOverride(known),
		sync.WithServerSideApply(mode == "server"),
		sync.WithServerSideApplyManager("argocd-controller"))
	if err != nil {
		return err
	}
	for _, result := range results {
		if err := say(change{result.ResourceKey.String(), result.Message}); err != nil {
			return err
		}
	}
	return nil
}

// ownerOf is the Application in the mark of an object.
func ownerOf(object *unstructured.Unstructured) string {
	id := object.GetAnnotations()[tracking]
	for index, character := range id {
		if character == ':' {
			return id[:index]
		}
	}
	return ""
}

func compared(
	objects []*unstructured.Unstructured,
	live cache.ClusterCache,
	isManaged func(*cache.Resource) bool,
	namespace string,
) (state, error) {
	found := state{OutOfSync: []string{}, Extra: []string{}}
	managed, err := live.GetManagedLiveObjs(objects, isManaged)
	if err != nil {
		return found, err
	}
	pairs := sync.Reconcile(objects, managed, namespace, live)
	differences, err := diff.DiffArray(pairs.Target, pairs.Live)
	if err != nil {
		return found, err
	}
	for index, one := range differences.Diffs {
		switch {
		case pairs.Target[index] == nil:
			found.Extra = append(found.Extra, nameOf(pairs.Live[index]))
		case one.Modified:
			found.OutOfSync = append(found.OutOfSync, nameOf(pairs.Target[index]))
		}
	}
	return found, nil
}

func nameOf(object *unstructured.Unstructured) string {
	key := kube.GetResourceKey(object)
	return key.Kind + " " + key.Name
}
