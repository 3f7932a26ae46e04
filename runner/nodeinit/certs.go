package nodeinit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/seed3322913c/runner/infra/errs"
	"github.com/seed3322913c/runner/runner/fleet"
)

// lifetime of the certificates: longer than any fleet may live, which is a week.
const lifetime = 30 * 24 * time.Hour

// NewSecrets makes the secrets of a new cluster, by name. The key of the authority that vouches for its agents is
// forgotten at once: each role has one certificate, which machines that join later get as well.
func NewSecrets() (map[string]string, error) {
	const op = "nodeinit.NewSecrets"
	ca, err := newAuthority()
	if err != nil {
		return nil, errs.E(op, errs.Internal, nil, err)
	}
	gossip := make([]byte, 32)
	rand.Read(gossip)
	secrets := map[string]string{
		SecretCA: string(ca.pem), secretGossip: base64.StdEncoding.EncodeToString(gossip), secretAgent: uuid(),
		SecretToken: uuid(), SecretS3: rand.Text(),
		SecretGateway: rand.Text(),
	}
	for role, folder := range certificates {
		cert, key, err := ca.issue(role)
		if err != nil {
			return nil, errs.E(op, errs.Internal, role, err)
		}
		secrets[folder+secretCert], secrets[folder+secretKey] = cert, key
	}
	return secrets, nil
}

func uuid() string {
	var b [16]byte
	rand.Read(b[:])
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// authority vouches for the agents of one cluster.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "runner cluster"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lifetime),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// issue makes the certificate of a role. Its names say what a machine may be: Consul and Nomad take only who is called
// a server for one. Machines are known by these names and not by their addresses, which nobody knows before they boot.
func (a *authority) issue(role Role) (cert, secret string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return "", "", err
	}
	name := map[Role]string{Server: "server", Worker: "client"}[role]
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: string(role)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames: []string{
			fleet.ServerName, "localhost", name + "." + datacenter + ".consul", name + "." + region + ".nomad",
		},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return "", "", err
	}
	bytes, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return "", "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: bytes})), nil
}
