// Enforces NetworkPolicy on one node of the test cluster, whose bridge CNI does not. It watches pods, namespaces and policies and
// keeps iptables rules in the table `mangle`: behind kube-proxy's address translation, hence about pods and not about Services, and
// before the filter table, hence before whatever rule there would accept a packet.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const table = "mangle"

func main() {
	kubeconfig := flag.String("kubeconfig", "", "path of the kubeconfig")
	node := flag.String("node", "", "name of the node whose pods are guarded; its network namespace is the one this runs in")
	prefix := flag.String("prefix", "", "begins the name of each chain; at most 18 characters")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatalln("netpol:", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	factory := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(config), 0)
	pods, namespaces := factory.Core().V1().Pods(), factory.Core().V1().Namespaces()
	policies := factory.Networking().V1().NetworkPolicies()
	changed := make(chan struct{}, 1)
	wake := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { wake() },
			UpdateFunc: func(any, any) { wake() },
			DeleteFunc: func(any) { wake() },
		}); err != nil {
			log.Fatalln("netpol:", err)
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	wake() // an empty cluster tells of no change

	applied := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		var seen state
		seen.pods, _ = pods.Lister().List(labels.Everything()) // a lister over the cache has no error to tell
		seen.policies, _ = policies.Lister().List(labels.Everything())
		seen.namespaces = map[string]labels.Set{}
		all, _ := namespaces.Lister().List(labels.Everything())
		for _, namespace := range all {
			seen.namespaces[namespace.Name] = namespace.Labels
		}
		chains := seen.chains(*node, *prefix)
		text := fmt.Sprint(chains)
		if text == applied {
			continue
		}
		if err := apply(chains, *prefix); err != nil {
			log.Println("netpol:", err)
			time.AfterFunc(time.Second, wake)
			continue
		}
		applied = text
		log.Printf("netpol: %d policies, %d chains\n", len(seen.policies), len(chains))
	}
}

// apply replaces all chains in one transaction, and hooks them in when they are not.
func apply(chains []chain, prefix string) error {
	saved, err := run("", "iptables-save", "-t", table)
	if err != nil {
		return err
	}
	var declared, rules, removed strings.Builder
	wanted := map[string]bool{}
	for _, chain := range chains {
		wanted[chain.name] = true
		fmt.Fprintf(&declared, ":%s - [0:0]\n", chain.name)
		for _, rule := range chain.rules {
			fmt.Fprintf(&rules, "-A %s %s\n", chain.name, rule)
		}
	}
	for line := range strings.Lines(saved) {
		if name, _, _ := strings.Cut(strings.TrimPrefix(line, ":"), " "); strings.HasPrefix(line, ":"+prefix) && !wanted[name] {
			fmt.Fprintf(&declared, ":%s - [0:0]\n", name) // which empties it
			fmt.Fprintf(&removed, "-X %s\n", name)
		}
	}
	text := "*" + table + "\n" + declared.String() + rules.String() + removed.String() + "COMMIT\n"
	if _, err := run(text, "iptables-restore", "-w", "--noflush"); err != nil {
		return err
	}
	// INPUT last: whoever waits for this program asks for its rule there.
	for _, hook := range [][2]string{{"FORWARD", prefix + forward}, {"INPUT", prefix + input}} {
		if _, err := run("", "iptables", "-w", "-t", table, "-C", hook[0], "-j", hook[1]); err == nil {
			continue
		}
		if _, err := run("", "iptables", "-w", "-t", table, "-A", hook[0], "-j", hook[1]); err != nil {
			return err
		}
	}
	return nil
}

func run(stdin string, name string, arguments ...string) (string, error) {
	command := exec.Command(name, arguments...)
	command.Stdin = strings.NewReader(stdin)
	var problem strings.Builder
	command.Stderr = &problem
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(problem.String()))
	}
	return string(out), nil
}
