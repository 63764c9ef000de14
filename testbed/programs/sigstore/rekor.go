package main

import (
	"net/http"

	"github.com/go-openapi/loads"
	"github.com/sigstore/rekor/pkg/api"
	"github.com/sigstore/rekor/pkg/generated/restapi"
	"github.com/sigstore/rekor/pkg/generated/restapi/operations"
	"github.com/sigstore/rekor/pkg/log"
	"github.com/sigstore/rekor/pkg/trillianclient"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/sigstore/rekor/pkg/types/dsse"
	"github.com/sigstore/rekor/pkg/types/hashedrekord"
	"github.com/spf13/viper"

	// The kinds of entries that cosign makes.
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
)

// newRekor is Rekor's own API, with a new key and a tree of its own. Only its index, which needs a database, is off.
func newRekor(trees trillianclient.GRPCConfig) (http.Handler, error) {
	log.ConfigureLogger("dev", "")
	viper.Set("trillian_log_server.address", trees.Address)
	viper.Set("trillian_log_server.port", trees.Port)
	viper.Set("rekor_server.hostname", "rekor.testbed")
	viper.Set("rekor_server.signer", "memory")
	viper.Set("enabled_api_endpoints", []string{
		"getLogInfo", "getPublicKey", "getLogProof", "createLogEntry", "getLogEntryByIndex", "getLogEntryByUUID", "searchLogQuery",
	})
	types.SetAllowedKindsForSubmission([]string{dsse.KIND, hashedrekord.KIND})
	described, err := loads.Embedded(restapi.SwaggerJSON, restapi.FlatSwaggerJSON)
	if err != nil {
		return nil, err
	}
	server := restapi.NewServer(operations.NewRekorServerAPI(described))
	api.ConfigureAPI(0)
	server.ConfigureAPI()
	return server.GetHandler(), nil
}
