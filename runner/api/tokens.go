package api

import (
	_ "embed"
	"net/http"

	"github.com/seed3322913c/runner/runner/access"
	"github.com/seed3322913c/runner/runner/client"
)

//go:embed tokens.json
var tokensDoc []byte

// TokensPart makes and removes tokens. A text is told once.
func TokensPart(tokens *access.Tokens) Part {
	return Part{Doc: tokensDoc, Routes: []Route{
		{"GET /v1/tokens", access.Admin, func(w http.ResponseWriter, r *http.Request) error {
			all, err := tokens.List(r.Context())
			if err != nil {
				return err
			}
			list := client.TokenList{Tokens: []client.Token{}}
			if all, list.Next, err = page(r, all, func(t access.Token) string { return t.ID }); err != nil {
				return err
			}
			for _, t := range all {
				list.Tokens = append(list.Tokens, tokenOf(t, ""))
			}
			return writeJSON(w, list)
		}},
		{"POST /v1/tokens", access.Admin, func(w http.ResponseWriter, r *http.Request) error {
			var ask client.Token
			if err := readJSON(w, r, &ask, maxBody); err != nil {
				return err
			}
			role, err := access.ParseRole(ask.Role)
			if err != nil {
				return err
			}
			text, made, err := tokens.Create(r.Context(), ask.Name, role)
			if err != nil {
				return err
			}
			return writeJSON(w, tokenOf(made, text))
		}},
		{"DELETE /v1/tokens/{id}", access.Admin, func(w http.ResponseWriter, r *http.Request) error {
			if err := tokens.Remove(r.Context(), r.PathValue("id")); err != nil {
				return err
			}
			w.WriteHeader(http.StatusNoContent)
			return nil
		}},
	}}
}

func tokenOf(t access.Token, text string) client.Token {
	return client.Token{ID: t.ID, Name: t.Name, Role: t.Role.String(), Created: t.Created, Text: text}
}
