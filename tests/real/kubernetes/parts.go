//go:build parts

// Package parts names the programs that tests are run against, so that go.mod and go.sum pin them and
// all that they are built from. Nothing compiles this file: `cargo xtask real` builds each by its path.
//
// After a change of version: `go mod tidy`.
package parts

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
	_ "k8s.io/kubernetes/cmd/kubectl"
	_ "k8s.io/kubernetes/cmd/kubelet"
)
