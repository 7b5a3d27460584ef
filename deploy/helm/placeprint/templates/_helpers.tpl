{{- define "placeprint.name" -}}
{{- if contains "placeprint" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-placeprint" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "placeprint.selector" -}}
app.kubernetes.io/name: placeprint
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "placeprint.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "placeprint.image" -}}
{{- $tag := .image.tag | default .version -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ $tag }}
{{- end -}}
{{- end -}}

{{- define "placeprint.homeClaim" -}}
{{- .Values.home.existingClaim | default (printf "%s-home" (include "placeprint.name" .)) -}}
{{- end -}}

{{- define "placeprint.qdrantUrl" -}}
{{- if .Values.qdrant.externalUrl -}}
{{- .Values.qdrant.externalUrl -}}
{{- else if .Values.qdrant.enabled -}}
{{- printf "http://%s-qdrant:6333" (include "placeprint.name" .) -}}
{{- end -}}
{{- end -}}

{{- define "placeprint.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "placeprint.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Names of the operator's and of the ingress, each after a comma, for a JSON list. */}}
{{- define "placeprint.moreHostnames" -}}
{{- range .Values.hostnames }}, "{{ . }}"{{ end -}}
{{- if .Values.ingress.enabled }}, "{{ .Values.ingress.host }}"{{ end -}}
{{- end -}}
