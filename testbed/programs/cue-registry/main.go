// Command cue-registry is a registry in memory that has the referrers API, of the library with which the CUE language serves its
// modules.
package main

import (
	"log"
	"net/http"
	"os"
	"time"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
)

func main() {
	handler := ociserver.New(ocimem.New(), nil)
	server := &http.Server{Addr: os.Args[1], Handler: handler, ReadHeaderTimeout: time.Minute}
	log.Fatal(server.ListenAndServe())
}
