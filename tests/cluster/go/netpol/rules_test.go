package main

import (
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

func pod(namespace, app, ip string) *core.Pod {
	return &core.Pod{
		ObjectMeta: meta.ObjectMeta{Namespace: namespace, Name: app, Labels: map[string]string{"app": app}},
		Spec: core.PodSpec{NodeName: "n", Containers: []core.Container{{
			Ports: []core.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: core.ProtocolTCP}},
		}}},
		Status: core.PodStatus{PodIP: ip, Phase: core.PodRunning},
	}
}

// world: two pods in namespace `a`, one in `b`, and the given policy in `a`.
func world(t *testing.T, spec string) state {
	t.Helper()
	policy := &networking.NetworkPolicy{ObjectMeta: meta.ObjectMeta{Namespace: "a", Name: "policy"}}
	if err := yaml.UnmarshalStrict([]byte(spec), &policy.Spec); err != nil {
		t.Fatal(err)
	}
	return state{
		pods:       []*core.Pod{pod("a", "web", "10.244.0.2"), pod("a", "client", "10.244.0.3"), pod("b", "other", "10.244.0.4")},
		namespaces: map[string]labels.Set{"a": {"team": "a"}, "b": {"team": "b"}, "kube-system": {"kubernetes.io/metadata.name": "kube-system"}},
		policies:   []*networking.NetworkPolicy{policy},
	}
}

// guards: what the pod's chain holds between the rule for the pod itself and the final DROP.
func guards(t *testing.T, s state, direction, ip string) []string {
	t.Helper()
	for _, chain := range s.chains("n", "p-")[2:] {
		if chain.name[2:3] == direction && strings.Contains(chain.rules[0], "-s "+ip+" ") {
			if last := chain.rules[len(chain.rules)-1]; last != "-j DROP" {
				t.Fatalf("the chain ends with %q", last)
			}
			return chain.rules[1 : len(chain.rules)-1]
		}
	}
	return nil
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	for i := range want {
		want[i] += " -j RETURN"
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwanted\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestAPodWithoutPolicyHasNoChain(t *testing.T) {
	s := world(t, `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`)
	chains := s.chains("n", "p-")
	if len(chains) != 3 {
		t.Fatalf("one pod is isolated in one direction, and there are %d chains: %v", len(chains), chains)
	}
	if len(s.chains("elsewhere", "p-")) != 2 {
		t.Error("another node's pods are guarded here")
	}
}

func TestNothingAllowed(t *testing.T) {
	s := world(t, `{podSelector: {}, policyTypes: [Ingress, Egress]}`)
	expect(t, guards(t, s, "i", "10.244.0.2"))
	expect(t, guards(t, s, "e", "10.244.0.3"))
}

func TestIngressByPodAndNamedPort(t *testing.T) {
	s := world(t, `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress],
		ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: http}]}]}`)
	expect(t, guards(t, s, "i", "10.244.0.2"), "-s 10.244.0.3/32 -p tcp --dport 8080")
}

func TestNamespaceAndPodSelectorsTogetherNarrow(t *testing.T) {
	s := world(t, `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress],
		ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}, podSelector: {matchLabels: {app: client}}}]}]}`)
	expect(t, guards(t, s, "i", "10.244.0.2"))
	s = world(t, `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress],
		ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}], ports: [{port: 80, endPort: 90}, {protocol: UDP}]}]}`)
	expect(t, guards(t, s, "i", "10.244.0.2"), "-s 10.244.0.4/32 -p tcp --dport 80:90", "-s 10.244.0.4/32 -p udp")
}

func TestEgressToTheOutsideButNotToPods(t *testing.T) {
	s := world(t, `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress],
		egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.128.0.0/9, 10.64.0.0/10]}}]}]}`)
	expect(t, guards(t, s, "e", "10.244.0.3"), "-d 10.0.0.0/10")
}

func TestTheClustersDNSIsReachedAsInAnyCluster(t *testing.T) {
	byLabel := world(t, `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress],
		egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}],
			ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]}]}`)
	expect(t, guards(t, byLabel, "e", "10.244.0.3"), "-d 10.200.0.1 -p udp --dport 10053", "-d 10.200.0.1 -p tcp --dport 10053")
	byPort := world(t, `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{ports: [{protocol: UDP, port: 53}]}]}`)
	expect(t, guards(t, byPort, "e", "10.244.0.3"), "-d 0.0.0.0/0 -p udp --dport 53", "-d 10.200.0.1 -p udp --dport 10053")
	otherPort := world(t, `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{ports: [{port: 443}]}]}`)
	expect(t, guards(t, otherPort, "e", "10.244.0.3"), "-d 0.0.0.0/0 -p tcp --dport 443")
	allPods := world(t, `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {team: b}}}]}]}`)
	expect(t, guards(t, allPods, "e", "10.244.0.3"), "-d 10.244.0.4/32")
}

func TestEgressToAPortByName(t *testing.T) {
	s := world(t, `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: http}]}]}`)
	expect(t, guards(t, s, "e", "10.244.0.3"), "-d 10.244.0.2/32 -p tcp --dport 8080")
}

func TestAnEndedPodsAddressIsNobodys(t *testing.T) {
	s := world(t, `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}`)
	s.pods[1].Status.Phase = core.PodSucceeded
	expect(t, guards(t, s, "i", "10.244.0.2"), "-s 10.244.0.2/32")
}

func TestChainNamesFitAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	s := world(t, `{podSelector: {}, policyTypes: [Ingress, Egress]}`)
	for _, chain := range s.chains("n", "minitower-cluster-") {
		if len(chain.name) > 28 || seen[chain.name] {
			t.Errorf("%q is too long or there twice", chain.name)
		}
		seen[chain.name] = true
	}
}
