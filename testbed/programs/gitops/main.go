// Command gitops does what Argo CD, Flux and Helm do with objects, by the libraries that these are made of: it says how
// they read a status, and brings a folder of manifests into a cluster as they do. All answers are lines of JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const usage = `usage:
  gitops kstatus                          how kstatus reads each object of the input
  gitops health CONFIGMAP                 what Argo CD says of each object of the input, by the scripts in its argocd-cm
  gitops actions CONFIGMAP                which actions Argo CD offers for each object of the input
  gitops action CONFIGMAP NAME            what an action makes of the object of the input
  gitops flux FOLDER NAMESPACE INVENTORY  brings a folder into a namespace as a Kustomization of Flux does, with pruning
  gitops argo FOLDER NAMESPACE MODE [CONFIGMAP]
                                          the same as an Application of Argo CD does; MODE is diff, client or server
`

// No call takes longer: a test waits for it.
const limit = time.Minute

// Commands by name, with the least number of their arguments.
var commands = map[string]struct {
	run  func(ctx context.Context, args []string) error
	args int
}{
	"kstatus": {kstatus, 0},
	"health":  {readHealth, 1},
	"actions": {actions, 1},
	"action":  {action, 2},
	"flux":    {flux, 3},
	"argo":    {argo, 3},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	command, known := commands[args[0]]
	if !known || len(args)-1 < command.args {
		return errors.New(usage)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return command.run(ctx, args[1:])
}

// say writes one line of the answer.
func say(answer any) error {
	return json.NewEncoder(os.Stdout).Encode(answer)
}

// each answers for every object of the input.
func each(answer func(object *unstructured.Unstructured) (any, error)) error {
	objects, err := objectsOf(os.Stdin)
	if err != nil {
		return err
	}
	for _, object := range objects {
		found, err := answer(object)
		if err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
		if err := say(found); err != nil {
			return err
		}
	}
	return nil
}

func objectsOf(reader io.Reader) ([]*unstructured.Unstructured, error) {
	return utils.ReadObjects(reader)
}

// inFolder reads all manifests of a folder. All are in one namespace, as those of a Kustomization with a targetNamespace are.
func inFolder(folder, namespace string) ([]*unstructured.Unstructured, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		found, err := objectsOf(file)
		_ = file.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		objects = append(objects, found...)
	}
	for _, object := range objects {
		object.SetNamespace(namespace)
	}
	return objects, nil
}

// cluster is how to reach the cluster that KUBECONFIG names.
func cluster() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 200, 400
	config.UserAgent = "gitops"
	return config, nil
}
