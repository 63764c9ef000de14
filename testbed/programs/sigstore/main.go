// Command sigstore is what signing without a key of one's own needs: Fulcio's authority, the log of the certificates it issues, and
// Rekor's log of signatures, made of the libraries that their own servers are made of. All of it is in memory.
//
// It is told the addresses to serve Fulcio and Rekor on, the file with Fulcio's own configuration (whose tokens it believes), and
// the file to write what verifiers are to trust into, which it does when it is ready.
package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/sigstore/fulcio/pkg/ca/ephemeralca"
)

// direct asks without the machine's proxy: all that is asked is here.
var direct = &http.Client{Transport: &http.Transport{}}

func main() {
	failed := make(chan error)
	if err := start(os.Args[1], os.Args[2], os.Args[3], os.Args[4], failed); err != nil {
		log.Fatal(err)
	}
	log.Fatal(<-failed)
}

func start(fulcioAddress, rekorAddress, configPath, rootPath string, failed chan<- error) error {
	ctx := context.Background()
	trees, err := startTrees(failed)
	if err != nil {
		return err
	}
	rekor, err := newRekor(trees)
	if err != nil {
		return err
	}
	if err := serve(rekorAddress, rekor, failed); err != nil {
		return err
	}
	authority, err := ephemeralca.NewEphemeralCA()
	if err != nil {
		return err
	}
	bundle, err := authority.TrustBundle(ctx)
	if err != nil {
		return err
	}
	root := bundle[0][0]
	certificates, key, err := newCertificateLog(ctx, trees, root, rootPath+".roots")
	if err != nil {
		return err
	}
	fulcioURL, rekorURL := "http://"+fulcioAddress, "http://"+rekorAddress
	fulcio, err := newFulcio(ctx, authority, configPath, fulcioURL+certificateLog)
	if err != nil {
		return err
	}
	certificates.Handle("/", fulcio)
	if err := serve(fulcioAddress, certificates, failed); err != nil {
		return err
	}
	trusted, err := trustedRoot(fulcioURL, root, key, rekorURL)
	if err != nil {
		return err
	}
	return put(rootPath, trusted)
}

// serve listens at once, so that what comes after it may ask.
func serve(address string, handler http.Handler, failed chan<- error) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { failed <- server.Serve(listener) }()
	return nil
}

// put writes a file whole or not at all.
func put(path string, content []byte) error {
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
