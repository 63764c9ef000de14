package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// trustedRoot is what verifiers are to trust: the authority and both logs.
func trustedRoot(fulcioURL string, authority *x509.Certificate, certificates *ecdsa.PublicKey, rekorURL string) ([]byte, error) {
	signatures, err := rekorKey(rekorURL)
	if err != nil {
		return nil, err
	}
	since := authority.NotBefore
	log := func(url string, key crypto.PublicKey) (map[string]*root.TransparencyLog, error) {
		encoded, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return nil, err
		}
		id := sha256.Sum256(encoded)
		return map[string]*root.TransparencyLog{hex.EncodeToString(id[:]): {
			BaseURL:             url,
			ID:                  id[:],
			ValidityPeriodStart: since,
			HashFunc:            crypto.SHA256,
			PublicKey:           key,
			SignatureHashFunc:   crypto.SHA256,
		}}, nil
	}
	certificateLogs, err := log(fulcioURL+certificateLog, certificates)
	if err != nil {
		return nil, err
	}
	signatureLogs, err := log(rekorURL, signatures)
	if err != nil {
		return nil, err
	}
	authorities := []root.CertificateAuthority{&root.FulcioCertificateAuthority{
		Root:                authority,
		ValidityPeriodStart: since,
		URI:                 fulcioURL,
	}}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, authorities, certificateLogs, nil, signatureLogs)
	if err != nil {
		return nil, err
	}
	return trusted.MarshalJSON()
}

// rekorKey asks Rekor for its public key.
func rekorKey(url string) (crypto.PublicKey, error) {
	answer, err := direct.Get(url + "/api/v1/log/publicKey")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("Rekor answers %s: %s", answer.Status, said)
	}
	return cryptoutils.UnmarshalPEMToPublicKey(said)
}
