// Command mail-server is a mail server made of a library of others: STARTTLS, a password, and a file with what it was sent, a
// line of JSON for each email.
package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

type email struct {
	From      string   `json:"from"`
	To        []string `json:"to"`
	Data      string   `json:"data"`
	Login     string   `json:"login"`
	Encrypted bool     `json:"encrypted"`
}

type backend struct {
	user, password string
	file           *os.File
	lock           sync.Mutex
}

type session struct {
	backend *backend
	conn    *smtp.Conn
	email   email
}

func (b *backend) NewSession(conn *smtp.Conn) (smtp.Session, error) {
	return &session{backend: b, conn: conn}, nil
}

func (s *session) AuthMechanisms() []string {
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.backend.user || password != s.backend.password {
			return errors.New("who are you?")
		}
		s.email.Login = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.email.Login == "" {
		return smtp.ErrAuthRequired
	}
	s.email.From = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.email.To = append(s.email.To, to)
	return nil
}

func (s *session) Data(reader io.Reader) error {
	data, err := io.ReadAll(reader)
	if err != nil {
		return err
	}
	s.email.Data = string(data)
	_, s.email.Encrypted = s.conn.TLSConnectionState()
	s.backend.lock.Lock()
	defer s.backend.lock.Unlock()
	return json.NewEncoder(s.backend.file).Encode(s.email)
}

func (s *session) Reset() {
	s.email = email{Login: s.email.Login}
}

func (s *session) Logout() error {
	return nil
}

// Arguments: address, file of the certificate, file of its key, user, password, file for what comes.
func main() {
	if len(os.Args) != 7 {
		log.Fatal("usage: mail-server ADDRESS CERTIFICATE KEY USER PASSWORD FILE")
	}
	certificate, err := tls.LoadX509KeyPair(os.Args[2], os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	file, err := os.OpenFile(os.Args[6], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	server := smtp.NewServer(&backend{user: os.Args[4], password: os.Args[5], file: file})
	server.Addr = os.Args[1]
	server.Domain = "localhost"
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	log.Fatal(server.ListenAndServe())
}
