package nodeinit

import (
	"context"

	machines "github.com/seed3322913c/runner/infra/fleet"
)

// The names of a cluster's secrets.
const (
	SecretCA      = machines.SecretCA // who vouches for all agents, PEM
	SecretToken   = "server/token"    // may do everything, in Consul and in Nomad
	SecretS3      = "server/s3"       // key of the one account of a machine that is a store
	SecretGateway = "server/gateway"  // token with which gateways are asked

	secretGossip = "node/gossip" // 32 bytes, base64
	secretAgent  = "node/agent"  // token with which a worker's Consul agent says what it is

	// Each role has a certificate and its key, PEM, under its own folder. All of a role have the same, so that no machine
	// needs the key of the authority that vouches for them.
	secretCert = "cert"
	secretKey  = "key"
)

// certificates are the folders of the roles' certificates.
var certificates = map[Role]string{Server: "server/", Worker: "node/"}

// Secrets are those that a machine needs for its role.
type Secrets struct {
	CA, Cert, Key string
	Gossip        string
	Agent         string // token of the workers' Consul agents
	Token         string // of a server
	S3            string // of a server or store
	Gateway       string // of a server
}

// GetSecret returns a secret by its name.
type GetSecret func(ctx context.Context, name string) (string, error)

// SecretsFor reads what a role may know, and nothing else.
func SecretsFor(ctx context.Context, role Role, get GetSecret) (Secrets, error) {
	var s Secrets
	wanted := map[string]*string{}
	if folder, ok := certificates[role]; ok {
		wanted = map[string]*string{
			SecretCA: &s.CA, secretGossip: &s.Gossip, secretAgent: &s.Agent,
			folder + secretCert: &s.Cert, folder + secretKey: &s.Key,
		}
	}
	switch role {
	case Server:
		wanted[SecretToken], wanted[SecretS3] = &s.Token, &s.S3
		wanted[SecretGateway] = &s.Gateway
	case Store:
		wanted[SecretS3] = &s.S3
	}
	for name, to := range wanted {
		text, err := get(ctx, name)
		if err != nil {
			return s, err
		}
		*to = text
	}
	return s, nil
}
