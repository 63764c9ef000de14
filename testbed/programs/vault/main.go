// Command vault is a key service: Vault's own core and its Transit engine, in memory, unsealed, with a root token that is given.
// The whole of Vault takes ten times as long to build.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/helper/namespace"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

// plugins is an empty list: engines are given to the core.
type plugins struct{}

func (plugins) Contains(string, consts.PluginType) bool { return false }

func (plugins) Get(string, consts.PluginType) (func() (interface{}, error), bool) { return nil, false }

func (plugins) Keys(consts.PluginType) []string { return nil }

func (plugins) DeprecationStatus(string, consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Unknown, false
}

func (plugins) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }

func main() {
	address, token := os.Args[1], os.Args[2]
	core, err := start(token)
	if err != nil {
		log.Fatal(err)
	}
	handler := vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core})
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: time.Minute}
	log.Fatal(server.ListenAndServe())
}

// start makes a core, as Vault's own dev mode does.
func start(token string) (*vault.Core, error) {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn})
	storage, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return nil, err
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:        storage,
		Logger:          logger,
		DisableMlock:    true,
		LogicalBackends: map[string]logical.Factory{"transit": transit.Factory},
		BuiltinRegistry: plugins{},
	})
	if err != nil {
		return nil, err
	}
	ctx := namespace.RootContext(context.Background())
	one := &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}
	made, err := core.Initialize(ctx, &vault.InitParams{BarrierConfig: one})
	if err != nil {
		return nil, err
	}
	unsealed, err := core.Unseal(made.SecretShares[0])
	if err != nil {
		return nil, err
	}
	if !unsealed {
		return nil, errors.New("it stays sealed")
	}
	_, err = core.HandleRequest(ctx, &logical.Request{
		ID:          "root",
		Operation:   logical.UpdateOperation,
		ClientToken: made.RootToken,
		Path:        "auth/token/create",
		Data: map[string]interface{}{
			"id": token, "policies": []string{"root"}, "no_parent": true, "no_default_policy": true,
		},
	})
	return core, err
}
