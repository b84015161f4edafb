// Writes JSON schemas as kubeconform reads them: one self-contained file per kind, unknown fields refused.
//
//	schemas kinds DEFINITIONS.json FOLDER   the kinds of Kubernetes itself, from the definitions in the package kubernetes-validate
//	schemas crds FOLDER FILE.yaml...        those of CustomResourceDefinitions
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	dialect = "https://json-schema.org/draft/2020-12/schema"
	there   = "/api/_definitions.json#/$defs/" // how the package's definitions refer to each other
	here    = "#/$defs/"
)

type schema = map[string]any

func main() {
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "kinds":
		err = kinds(os.Args[2], os.Args[3])
	case len(os.Args) >= 4 && os.Args[1] == "crds":
		err = crds(os.Args[2], os.Args[3:])
	default:
		err = fmt.Errorf("usage: schemas kinds DEFINITIONS.json FOLDER | schemas crds FOLDER FILE.yaml...")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func kinds(file, folder string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var all struct {
		Defs map[string]schema `json:"$defs"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	written := 0
	for name, definition := range all.Defs {
		properties, _ := definition["properties"].(schema)
		groups, _ := definition["x-kubernetes-group-version-kind"].([]any)
		// DeleteOptions and the like are listed under every group and are no objects of their own.
		if len(groups) != 1 || properties["kind"] == nil || properties["apiVersion"] == nil {
			continue
		}
		about := groups[0].(schema)
		group, version, kind := about["group"].(string), about["version"].(string), about["kind"].(string)
		needed := schema{}
		if err := collect(name, all.Defs, needed); err != nil {
			return err
		}
		if first, _, _ := strings.Cut(group, "."); first != "" {
			version = first + "-" + version
		}
		whole := schema{"$schema": dialect, "$ref": here + name, "$defs": needed}
		if err := write(folder, strings.ToLower(kind)+"-"+version+".json", whole); err != nil {
			return err
		}
		written++
	}
	if written == 0 {
		return fmt.Errorf("%s holds no definition of a kind: was its form changed?", file)
	}
	return nil
}

// collect adds the named definition and all that it refers to.
func collect(name string, all map[string]schema, into schema) error {
	if into[name] != nil {
		return nil
	}
	definition, ok := all[name]
	if !ok {
		return fmt.Errorf("definition %s is referred to and missing", name)
	}
	into[name] = definition
	for _, other := range prune(definition) {
		if err := collect(other, all, into); err != nil {
			return err
		}
	}
	return nil
}

// prune drops the descriptions, makes references local, and tells their targets. A field may itself be called `description` or
// `$ref` (that of a CustomResourceDefinition's schema is), but then its value is no string.
func prune(value any) (targets []string) {
	switch value := value.(type) {
	case schema:
		if _, text := value["description"].(string); text {
			delete(value, "description")
		}
		if ref, text := value["$ref"].(string); text {
			name := strings.TrimPrefix(strings.TrimPrefix(ref, there), here)
			value["$ref"] = here + name
			targets = append(targets, name)
		}
		for _, member := range value {
			targets = append(targets, prune(member)...)
		}
	case []any:
		for _, member := range value {
			targets = append(targets, prune(member)...)
		}
	}
	return targets
}

func crds(folder string, files []string) error {
	written := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, document := range bytes.Split(text, []byte("\n---")) {
			count, err := crd(document, folder)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			written += count
		}
	}
	if written == 0 {
		return fmt.Errorf("no CustomResourceDefinition with a schema in %s", strings.Join(files, " "))
	}
	return nil
}

// crd tells how many versions it wrote.
func crd(document []byte, folder string) (int, error) {
	var definition struct {
		Kind string
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct{ OpenAPIV3Schema schema }
			}
		}
	}
	if err := yaml.Unmarshal(document, &definition); err != nil {
		return 0, err
	}
	if definition.Kind != "CustomResourceDefinition" {
		return 0, nil
	}
	group, kind, written := definition.Spec.Group, strings.ToLower(definition.Spec.Names.Kind), 0
	for _, version := range definition.Spec.Versions {
		root := version.Schema.OpenAPIV3Schema
		if root == nil {
			continue
		}
		properties, _ := root["properties"].(schema)
		if properties == nil {
			properties = schema{}
			root["properties"] = properties
		}
		// The API server knows these of every object, whether a definition names them or not.
		for field, kind := range map[string]string{"apiVersion": "string", "kind": "string", "metadata": "object"} {
			if properties[field] == nil {
				properties[field] = schema{"type": kind}
			}
		}
		prune(root)
		seal(root)
		root["$schema"] = dialect
		if err := write(folder, group+"_"+kind+"_"+version.Name+".json", root); err != nil {
			return written, err
		}
		written++
	}
	return written, nil
}

// seal turns a structural schema into one that refuses unknown fields, as the API server does with strict field validation, and
// takes over Kubernetes' own words for what JSON Schema says otherwise.
func seal(value any) {
	node, ok := value.(schema)
	if !ok {
		return
	}
	for _, word := range []string{"properties", "patternProperties"} {
		if fields, ok := node[word].(schema); ok {
			for _, field := range fields {
				seal(field)
			}
		}
	}
	seal(node["items"])
	seal(node["additionalProperties"])
	// allOf, anyOf, oneOf and not hold conditions on the fields named outside of them: to close these would refuse the rest.
	open, _ := node["x-kubernetes-preserve-unknown-fields"].(bool)
	if node["properties"] != nil && node["additionalProperties"] == nil && !open {
		node["additionalProperties"] = false
	}
	if either, _ := node["x-kubernetes-int-or-string"].(bool); either {
		node["type"] = []any{"integer", "string"}
	}
	if nullable, _ := node["nullable"].(bool); nullable {
		if kind, ok := node["type"].(string); ok {
			node["type"] = []any{kind, "null"}
		}
		if values, ok := node["enum"].([]any); ok {
			node["enum"] = append(values, nil)
		}
	}
}

func write(folder, name string, content any) error {
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, name), append(text, '\n'), 0o644)
}
