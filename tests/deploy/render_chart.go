// Renders the templates of a Helm chart where there is Go and no Helm.
//
// The engine is Helm's own, text/template of the standard library; of the functions that Helm adds, those
// that the chart uses are here, to the same effect. Input: {"values", "chart", "release"} as JSON; argument:
// the chart's folder; output: {file: text} as JSON.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"text/template"
)

type files string

func (folder files) Get(name string) (string, error) {
	content, err := os.ReadFile(filepath.Join(string(folder), name))
	return string(content), err
}

func isEmpty(value any) bool {
	if value == nil {
		return true
	}
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	}
	return v.IsZero()
}

func encoded(value any) (string, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return strings.TrimSpace(out.String()), err
}

// toYaml writes the outermost level as lines, so that it can go on where a template began, and the rest as
// JSON, which is YAML.
func toYaml(value any) (string, error) {
	lines := []string{}
	switch given := value.(type) {
	case map[string]any:
		for key, one := range given {
			text, err := encoded(one)
			if err != nil {
				return "", err
			}
			lines = append(lines, fmt.Sprintf("%q: %s", key, text))
		}
		sort.Strings(lines)
	case []any:
		for _, one := range given {
			text, err := encoded(one)
			if err != nil {
				return "", err
			}
			lines = append(lines, "- "+text)
		}
	}
	if len(lines) == 0 {
		return encoded(value)
	}
	return strings.Join(lines, "\n"), nil
}

func quote(value any) string {
	if value == nil {
		return ""
	}
	return fmt.Sprintf("%q", fmt.Sprint(value))
}

func functions(root *template.Template) template.FuncMap {
	return template.FuncMap{
		"include": func(name string, data any) (string, error) {
			var out bytes.Buffer
			err := root.ExecuteTemplate(&out, name, data)
			return out.String(), err
		},
		"default": func(other, value any) any {
			if isEmpty(value) {
				return other
			}
			return value
		},
		"dict": func(pairs ...any) map[string]any {
			made := map[string]any{}
			for i := 0; i+1 < len(pairs); i += 2 {
				made[pairs[i].(string)] = pairs[i+1]
			}
			return made
		},
		"trunc": func(n int, text string) string {
			if len(text) > n {
				return text[:n]
			}
			return text
		},
		"nindent": func(n int, text string) string {
			pad := "\n" + strings.Repeat(" ", n)
			return pad + strings.ReplaceAll(text, "\n", pad)
		},
		"join": func(between string, list []any) string {
			texts := make([]string, len(list))
			for i, one := range list {
				texts[i] = fmt.Sprint(one)
			}
			return strings.Join(texts, between)
		},
		"contains":   func(part, text string) bool { return strings.Contains(text, part) },
		"trimSuffix": func(end, text string) string { return strings.TrimSuffix(text, end) },
		"sha256sum":  func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) },
		"kindIs":     func(kind string, value any) bool { return value != nil && reflect.TypeOf(value).Kind().String() == kind },
		"upper":      strings.ToUpper,
		"quote":      quote,
		"toJson":     encoded,
		"toYaml":     toYaml,
	}
}

func render(folder string, input map[string]any) (map[string]string, error) {
	root := template.New("chart").Option("missingkey=zero")
	root.Funcs(functions(root))
	paths, err := filepath.Glob(filepath.Join(folder, "templates", "*"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if _, err = root.New(filepath.Base(path)).Parse(string(content)); err != nil {
			return nil, err
		}
	}
	data := map[string]any{
		"Values": input["values"], "Chart": input["chart"], "Release": input["release"], "Files": files(folder),
	}
	rendered := map[string]string{}
	for _, path := range paths {
		name := filepath.Base(path)
		if strings.HasPrefix(name, "_") {
			continue
		}
		var out bytes.Buffer
		if err := root.ExecuteTemplate(&out, name, data); err != nil {
			return nil, err
		}
		rendered[name] = out.String()
	}
	return rendered, nil
}

func main() {
	var input map[string]any
	err := json.NewDecoder(os.Stdin).Decode(&input)
	if err == nil {
		var rendered map[string]string
		if rendered, err = render(os.Args[1], input); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(rendered)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
