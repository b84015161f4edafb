package main

import (
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// In a network namespace of its own, which programs started from this thread inherit.
func TestChainsAreReplacedAsAWhole(t *testing.T) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the test, and the namespace with it
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Skip("a network namespace of its own needs root:", err)
	}
	const prefix = "minitower-cluster-"
	s := world(t, `{podSelector: {}, policyTypes: [Ingress, Egress],
		ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], ports: [{port: 80, endPort: 90}, {protocol: SCTP, port: 7}]}],
		egress: [{ports: [{port: 53, protocol: UDP}]}]}`)
	saved := func() string {
		t.Helper()
		out, err := run("", "iptables-save", "-t", table)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for range 2 { // the second time nothing is there twice
		if err := apply(s.chains("n", prefix), prefix); err != nil {
			t.Fatal(err)
		}
		now := saved()
		for _, once := range []string{"-A FORWARD -j " + prefix + forward, "-A INPUT -j " + prefix + input} {
			if strings.Count(now, once+"\n") != 1 {
				t.Errorf("%q is not there once:\n%s", once, now)
			}
		}
		if chains := strings.Count(now, "\n:"+prefix); chains != 2+4 { // two pods, two directions
			t.Errorf("%d chains:\n%s", chains, now)
		}
	}
	s.policies = nil
	if err := apply(s.chains("n", prefix), prefix); err != nil {
		t.Fatal(err)
	}
	if chains := strings.Count(saved(), "\n:"+prefix); chains != 2 {
		t.Errorf("%d chains are left of policies that are gone", chains)
	}
}
