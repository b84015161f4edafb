package main

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	forward = "forward" // packets between pods, and between pods and the outside
	input   = "input"   // packets from pods to the node itself
)

// The cluster's DNS is a process of the machine and listens elsewhere than on port 53, behind a Service that looks as in any
// cluster: a policy written for any cluster, by the pods' usual labels or by the port, must mean it too.
var dns = &core.Pod{
	ObjectMeta: meta.ObjectMeta{Namespace: "kube-system", Name: "dns", Labels: map[string]string{"k8s-app": "kube-dns"}},
	Status:     core.PodStatus{PodIP: "10.200.0.1"},
}

const dnsPort, dnsListens = 53, 10053

type state struct {
	pods       []*core.Pod
	namespaces map[string]labels.Set
	policies   []*networking.NetworkPolicy
}

type chain struct {
	name  string
	rules []string
}

// peer is the other end of a connection: an address range, and the pod when it is one.
type peer struct {
	prefix netip.Prefix
	pod    *core.Pod
}

var anywhere = netip.MustParsePrefix("0.0.0.0/0")

// chains tells what guards the pods of the node: the two that iptables enters, then one for each pod and direction that a policy
// isolates. A packet that a pod's chain allows returns, so that both ends' chains are asked. Sorted, so that equal states compare equal.
//
// Traffic of the node itself reaches its pods whatever the policies say, as the API documents it: it passes no chain of ours.
func (s *state) chains(node, prefix string) []chain {
	established := "-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
	forwarded, received := chain{prefix + forward, []string{established}}, chain{prefix + input, []string{established}}
	pods := slices.Clone(s.pods)
	slices.SortFunc(pods, func(a, b *core.Pod) int { return strings.Compare(key(a), key(b)) })
	policies := slices.Clone(s.policies)
	slices.SortFunc(policies, func(a, b *networking.NetworkPolicy) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	sorted := state{pods: pods, namespaces: s.namespaces, policies: policies}
	var outwards, inwards []string
	var guarded []chain
	for _, pod := range pods {
		if pod.Spec.NodeName != node || !connected(pod) {
			continue
		}
		ip := pod.Status.PodIP
		// A pod always reaches itself, be it through a Service.
		itself := fmt.Sprintf("-s %s -d %s -j RETURN", ip, ip)
		if rules, isolated := sorted.egress(pod); isolated {
			name := chainName(prefix, "e", pod)
			guarded = append(guarded, chain{name, append(append([]string{itself}, rules...), "-j DROP")})
			outwards = append(outwards, fmt.Sprintf("-s %s -j %s", ip, name))
		}
		if rules, isolated := sorted.ingress(pod); isolated {
			name := chainName(prefix, "i", pod)
			guarded = append(guarded, chain{name, append(append([]string{itself}, rules...), "-j DROP")})
			inwards = append(inwards, fmt.Sprintf("-d %s -j %s", ip, name))
		}
	}
	forwarded.rules = append(append(forwarded.rules, outwards...), inwards...)
	received.rules = append(received.rules, outwards...)
	return append([]chain{forwarded, received}, guarded...)
}

func key(pod *core.Pod) string { return pod.Namespace + "/" + pod.Name }

// chainName: iptables knows no names of more than 28 characters.
func chainName(prefix, direction string, pod *core.Pod) string {
	sum := sha256.Sum256([]byte(key(pod)))
	return fmt.Sprintf("%s%s%x", prefix, direction, sum)[:len(prefix)+10]
}

// connected: has an address of its own, which is not another pod's by now.
func connected(pod *core.Pod) bool {
	ended := pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed
	return !ended && !pod.Spec.HostNetwork && pod.Status.PodIP != ""
}

func (s *state) ingress(pod *core.Pod) (rules []string, isolated bool) {
	for _, policy := range s.selecting(pod, networking.PolicyTypeIngress) {
		isolated = true
		for _, rule := range policy.Spec.Ingress {
			for _, from := range s.peers(rule.From, policy.Namespace) {
				for _, match := range matches(rule.Ports, pod) {
					rules = append(rules, strings.TrimSpace(fmt.Sprintf("-s %s %s", from.prefix, match))+" -j RETURN")
				}
			}
		}
	}
	return rules, isolated
}

func (s *state) egress(pod *core.Pod) (rules []string, isolated bool) {
	for _, policy := range s.selecting(pod, networking.PolicyTypeEgress) {
		isolated = true
		for _, rule := range policy.Spec.Egress {
			peers := s.peers(rule.To, policy.Namespace)
			if len(rule.To) == 0 && slices.ContainsFunc(rule.Ports, named) {
				for _, other := range s.pods { // each may give the name another number
					if connected(other) {
						peers = append(peers, peer{netip.PrefixFrom(netip.MustParseAddr(other.Status.PodIP), 32), other})
					}
				}
			}
			for _, to := range peers {
				if to.pod != dns {
					for _, match := range matches(rule.Ports, to.pod) {
						rules = append(rules, strings.TrimSpace(fmt.Sprintf("-d %s %s", to.prefix, match))+" -j RETURN")
					}
				}
				if to.prefix.Contains(netip.MustParseAddr(dns.Status.PodIP)) {
					for _, protocol := range dnsProtocols(rule.Ports) {
						rules = append(rules, fmt.Sprintf("-d %s -p %s --dport %d -j RETURN", dns.Status.PodIP, protocol, dnsListens))
					}
				}
			}
		}
	}
	return rules, isolated
}

func (s *state) selecting(pod *core.Pod, direction networking.PolicyType) (found []*networking.NetworkPolicy) {
	for _, policy := range s.policies {
		if policy.Namespace == pod.Namespace && slices.Contains(policy.Spec.PolicyTypes, direction) && selects(&policy.Spec.PodSelector, pod.Labels) {
			found = append(found, policy)
		}
	}
	return found
}

// selects: the API server has checked the selector's form. One that is absent selects nothing; an empty one, everything.
func selects(selector *meta.LabelSelector, set map[string]string) bool {
	compiled, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && compiled.Matches(labels.Set(set))
}

// peers: none given means everyone.
func (s *state) peers(given []networking.NetworkPolicyPeer, namespace string) (found []peer) {
	if len(given) == 0 {
		return []peer{{prefix: anywhere}}
	}
	for _, one := range given {
		if one.IPBlock != nil {
			for _, prefix := range block(one.IPBlock) {
				found = append(found, peer{prefix: prefix})
			}
			continue
		}
		for _, pod := range append(slices.Clone(s.pods), dns) {
			there := pod.Namespace == namespace
			if one.NamespaceSelector != nil {
				there = selects(one.NamespaceSelector, s.namespaces[pod.Namespace])
			}
			if !there || !connected(pod) || (one.PodSelector != nil && !selects(one.PodSelector, pod.Labels)) {
				continue
			}
			found = append(found, peer{netip.PrefixFrom(netip.MustParseAddr(pod.Status.PodIP), 32), pod})
		}
	}
	return found
}

// block: the range without its exceptions, as ranges. There is no IPv6 in this cluster.
func block(given *networking.IPBlock) []netip.Prefix {
	whole, err := netip.ParsePrefix(given.CIDR)
	if err != nil || !whole.Addr().Is4() {
		return nil
	}
	left := []netip.Prefix{whole.Masked()}
	for _, text := range given.Except {
		except, err := netip.ParsePrefix(text)
		if err != nil {
			continue
		}
		var rest []netip.Prefix
		for _, prefix := range left {
			rest = append(rest, without(prefix, except.Masked())...)
		}
		left = rest
	}
	return left
}

func without(prefix, except netip.Prefix) []netip.Prefix {
	switch {
	case !prefix.Overlaps(except):
		return []netip.Prefix{prefix}
	case except.Bits() <= prefix.Bits():
		return nil
	}
	bits := prefix.Bits() + 1
	lower := netip.PrefixFrom(prefix.Addr(), bits)
	address := prefix.Addr().As4()
	address[(bits-1)/8] |= 0x80 >> ((bits - 1) % 8)
	upper := netip.PrefixFrom(netip.AddrFrom4(address), bits)
	return append(without(lower, except), without(upper, except)...)
}

func named(port networking.NetworkPolicyPort) bool {
	return port.Port != nil && port.Port.Type == intstr.String
}

func protocolOf(port networking.NetworkPolicyPort) core.Protocol {
	if port.Protocol == nil {
		return core.ProtocolTCP
	}
	return *port.Protocol
}

// matches: iptables' words for the ports; none given means all. A name means the port of that name of the receiving pod.
func matches(ports []networking.NetworkPolicyPort, receiver *core.Pod) (found []string) {
	if len(ports) == 0 {
		return []string{""}
	}
	for _, port := range ports {
		protocol := protocolOf(port)
		word := "-p " + strings.ToLower(string(protocol))
		switch {
		case port.Port == nil:
			found = append(found, word)
		case named(port):
			if receiver == nil {
				continue
			}
			for _, container := range receiver.Spec.Containers {
				for _, has := range container.Ports {
					if has.Name == port.Port.StrVal && (has.Protocol == protocol || has.Protocol == "") {
						found = append(found, fmt.Sprintf("%s --dport %d", word, has.ContainerPort))
					}
				}
			}
		case port.EndPort != nil:
			found = append(found, fmt.Sprintf("%s --dport %d:%d", word, port.Port.IntVal, *port.EndPort))
		default:
			found = append(found, fmt.Sprintf("%s --dport %d", word, port.Port.IntVal))
		}
	}
	return found
}

// dnsProtocols: those of the DNS port that the given ports let through.
func dnsProtocols(ports []networking.NetworkPolicyPort) (found []string) {
	if len(ports) == 0 {
		return []string{"udp", "tcp"}
	}
	for _, port := range ports {
		reached := port.Port == nil
		if !reached && !named(port) {
			last := port.Port.IntVal
			if port.EndPort != nil {
				last = *port.EndPort
			}
			reached = port.Port.IntVal <= dnsPort && dnsPort <= last
		}
		if word := strings.ToLower(string(protocolOf(port))); reached && (word == "udp" || word == "tcp") {
			found = append(found, word)
		}
	}
	return found
}
