package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"time"

	"github.com/argoproj/gitops-engine/pkg/health"
	lua "github.com/yuin/gopher-lua"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
	"sigs.k8s.io/yaml"
)

// No script runs longer in Argo CD.
const longest = time.Second

// scripts are the entries of an argocd-cm.
type scripts map[string]string

// offered is an entry for the actions of a kind.
type offered struct {
	Discovery   string `json:"discovery.lua"`
	Definitions []struct {
		Name   string `json:"name"`
		Action string `json:"action.lua"`
	} `json:"definitions"`
}

// impact is an object that an action makes or changes.
type impact struct {
	Operation string                     `json:"operation"`
	Resource  *unstructured.Unstructured `json:"resource"`
}

func scriptsOf(path string) (scripts, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var config corev1.ConfigMap
	if err := yaml.UnmarshalStrict(text, &config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return config.Data, nil
}

// of is the entry for the kind of an object: empty where there is none.
func (s scripts) of(what string, object *unstructured.Unstructured) string {
	kind := object.GroupVersionKind()
	return s["resource.customizations."+what+"."+kind.Group+"_"+kind.Kind]
}

// GetResourceHealth makes these scripts what the engine asks for the health of objects.
func (s scripts) GetResourceHealth(object *unstructured.Unstructured) (*health.HealthStatus, error) {
	script := s.of("health", object)
	if script == "" {
		return nil, nil
	}
	answer, err := runLua(object, script)
	if err != nil {
		return nil, err
	}
	var said health.HealthStatus
	if err := json.Unmarshal(answer, &said); err != nil {
		return nil, err
	}
	switch said.Status {
	case health.HealthStatusProgressing, health.HealthStatusHealthy, health.HealthStatusSuspended,
		health.HealthStatusDegraded, health.HealthStatusMissing, health.HealthStatusUnknown:
		return &said, nil
	default:
		return nil, fmt.Errorf("there is no health %q", said.Status)
	}
}

func (s scripts) healthOf(object *unstructured.Unstructured) (any, error) {
	said, err := s.GetResourceHealth(object)
	if err != nil || said != nil {
		return said, err
	}
	// An object of a kind without a script counts as healthy.
	return health.HealthStatus{Status: health.HealthStatusHealthy}, nil
}

func readHealth(_ context.Context, args []string) error {
	known, err := scriptsOf(args[0])
	if err != nil {
		return err
	}
	return each(func(object *unstructured.Unstructured) (any, error) {
		return known.healthOf(object)
	})
}

func (s scripts) offered(object *unstructured.Unstructured) (offered, error) {
	var found offered
	err := yaml.UnmarshalStrict([]byte(s.of("actions", object)), &found)
	return found, err
}

// actions lists what may be done, and leaves out what is disabled now.
func actions(_ context.Context, args []string) error {
	known, err := scriptsOf(args[0])
	if err != nil {
		return err
	}
	return each(func(object *unstructured.Unstructured) (any, error) {
		offered, err := known.offered(object)
		if err != nil || offered.Discovery == "" {
			return []string{}, err
		}
		answer, err := runLua(object, offered.Discovery)
		if err != nil {
			return nil, err
		}
		names := []string{}
		// A table without entries is read as an empty list.
		if string(answer) == "[]" {
			return names, nil
		}
		var found map[string]struct {
			Disabled bool `json:"disabled"`
		}
		if err := json.Unmarshal(answer, &found); err != nil {
			return nil, err
		}
		for name, action := range found {
			if !action.Disabled {
				names = append(names, name)
			}
		}
		sort.Strings(names)
		return names, nil
	})
}

func action(_ context.Context, args []string) error {
	known, err := scriptsOf(args[0])
	if err != nil {
		return err
	}
	return each(func(object *unstructured.Unstructured) (any, error) {
		offered, err := known.offered(object)
		if err != nil {
			return nil, err
		}
		for _, definition := range offered.Definitions {
			if definition.Name != args[1] {
				continue
			}
			answer, err := runLua(object, definition.Action)
			if err != nil {
				return nil, err
			}
			var impacts []impact
			err = json.Unmarshal(answer, &impacts)
			return impacts, err
		}
		return nil, errors.New("there is no action " + args[1])
	})
}

// runLua runs a script as Argo CD does: with few libraries, for a second, on a global obj. Of the library os, scripts see
// nothing but the time.
func runLua(object *unstructured.Unstructured, script string) ([]byte, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		call := lua.P{Fn: state.NewFunction(library.open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return nil, err
		}
	}
	state.PreloadModule(lua.OsLibName, func(state *lua.LState) int {
		state.Push(state.SetFuncs(state.NewTable(), map[string]lua.LGFunction{
			"time": func(state *lua.LState) int {
				state.Push(lua.LNumber(time.Now().Unix()))
				return 1
			},
		}))
		return 1
	})
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	state.SetContext(ctx)
	state.SetGlobal("obj", luaValue(state, object.Object))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	answer := state.Get(-1)
	if answer.Type() != lua.LTTable {
		return nil, fmt.Errorf("the script gave %s, no table", answer.Type())
	}
	return luajson.Encode(answer)
}

func luaValue(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case int64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.CreateTable(len(value), 0)
		for _, item := range value {
			table.Append(luaValue(state, item))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, item := range value {
			table.RawSetString(key, luaValue(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}
