//go:build tools

// Package tools keeps the language host in go.mod: a `tool` line needs Go 1.24, its own module 1.20.
package tools

import _ "github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs"
