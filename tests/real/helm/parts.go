//go:build parts

// Package parts names the program that go.mod and go.sum pin with all that it is built from. Nothing
// compiles this file: `cargo xtask real` builds the program by its path.
//
// After a change of version: `go mod tidy`.
package parts

import _ "helm.sh/helm/v3/cmd/helm"
