package main

import (
	"context"
	"net"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/extension"
	"github.com/google/trillian/log"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"github.com/google/trillian/server/admin"
	"github.com/google/trillian/server/interceptor"
	"github.com/google/trillian/storage/memory"
	"github.com/google/trillian/util/clock"
	"github.com/google/trillian/util/election2"
	"github.com/sigstore/rekor/pkg/trillianclient"
	"google.golang.org/grpc"
)

// startTrees is Trillian, in memory, on a port of loopback: the trees that both logs are made of. It tells how to call it.
func startTrees(failed chan<- error) (trillianclient.GRPCConfig, error) {
	where := trillianclient.GRPCConfig{Address: "127.0.0.1"}
	kept := memory.NewTreeStorage()
	registry := extension.Registry{
		AdminStorage:    memory.NewAdminStorage(kept),
		LogStorage:      memory.NewLogStorage(kept, nil),
		ElectionFactory: election2.NoopFactory{},
		QuotaManager:    quota.Noop(),
	}
	service := grpc.NewServer(grpc.UnaryInterceptor(interceptor.ErrorWrapper))
	trillian.RegisterTrillianAdminServer(service, admin.New(registry, nil))
	trillian.RegisterTrillianLogServer(service, server.NewTrillianLogRPCServer(registry, clock.System))
	listener, err := net.Listen("tcp", where.Address+":0")
	if err != nil {
		return where, err
	}
	where.Port = uint16(listener.Addr().(*net.TCPAddr).Port)
	go func() { failed <- service.Serve(listener) }()

	sequencer := log.NewOperationManager(log.OperationInfo{
		Registry:    registry,
		BatchSize:   50,
		NumWorkers:  1,
		RunInterval: 100 * time.Millisecond,
		TimeSource:  clock.System,
	}, log.NewSequencerManager(registry, 0))
	go sequencer.OperationLoop(context.Background())
	return where, nil
}
