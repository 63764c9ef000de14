package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	ctclient "github.com/google/certificate-transparency-go/client"
	"github.com/google/certificate-transparency-go/jsonclient"
	"github.com/google/certificate-transparency-go/trillian/ctfe"
	"github.com/google/certificate-transparency-go/trillian/ctfe/configpb"
	"github.com/google/trillian"
	"github.com/google/trillian/crypto/keys"
	"github.com/google/trillian/crypto/keys/der"
	"github.com/google/trillian/crypto/keyspb"
	"github.com/google/trillian/monitoring"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/sigstore/fulcio/pkg/ca/ephemeralca"
	"github.com/sigstore/fulcio/pkg/config"
	"github.com/sigstore/fulcio/pkg/generated/protobuf"
	"github.com/sigstore/fulcio/pkg/server"
	"github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/rekor/pkg/trillianclient"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/anypb"
)

// certificateLog is the path of the log of certificates.
const certificateLog = "/certificates"

// newCertificateLog serves a log of certificates under that root, with a new key, which it returns the public half of.
func newCertificateLog(ctx context.Context, trees trillianclient.GRPCConfig, root *x509.Certificate, rootsPath string) (*http.ServeMux, *ecdsa.PublicKey, error) {
	tree, err := trillianclient.CreateAndInitTree(ctx, trees)
	if err != nil {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	encoded, err := der.MarshalPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	private, err := anypb.New(&keyspb.PrivateKey{Der: encoded})
	if err != nil {
		return nil, nil, err
	}
	keys.RegisterHandler(&keyspb.PrivateKey{}, der.FromProto)
	roots := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
	if err := os.WriteFile(rootsPath, roots, 0o600); err != nil {
		return nil, nil, err
	}
	settings, err := ctfe.ValidateLogConfig(&configpb.LogConfig{
		LogId:        tree.TreeId,
		Prefix:       certificateLog,
		RootsPemFile: []string{rootsPath},
		PrivateKey:   private,
	})
	if err != nil {
		return nil, nil, err
	}
	connection, err := grpc.NewClient(fmt.Sprintf("%s:%d", trees.Address, trees.Port), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, err
	}
	instance, err := ctfe.SetUpInstance(ctx, ctfe.InstanceOptions{
		Validated:     settings,
		Client:        trillian.NewTrillianLogClient(connection),
		Deadline:      time.Minute,
		MetricFactory: monitoring.InertMetricFactory{},
		RequestLog:    &ctfe.DefaultRequestLog{},
	})
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	for path, handler := range instance.Handlers {
		mux.Handle(path, handler)
	}
	return mux, &key.PublicKey, nil
}

// newFulcio is Fulcio's own API, without the detour through gRPC that its server takes.
func newFulcio(ctx context.Context, authority *ephemeralca.EphemeralCA, configPath, logURL string) (http.Handler, error) {
	known, err := config.Load(configPath)
	if err != nil {
		return nil, err
	}
	certificates, err := ctclient.New(logURL, direct, jsonclient.Options{})
	if err != nil {
		return nil, err
	}
	algorithms, err := signature.NewAlgorithmRegistryConfig([]v1.PublicKeyDetails{v1.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256})
	if err != nil {
		return nil, err
	}
	service := server.NewGRPCCAServer(certificates, authority, algorithms, server.NewIssuerPool(known))
	mux := runtime.NewServeMux(runtime.WithMetadata(token))
	if err := protobuf.RegisterCAHandlerServer(ctx, mux, service); err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(config.With(r.Context(), known)))
	}), nil
}

// token hands on the token of a request.
func token(_ context.Context, r *http.Request) metadata.MD {
	said := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	return metadata.Pairs(server.MetadataOIDCTokenKey, said)
}
