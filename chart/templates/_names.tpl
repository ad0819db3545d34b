{{/* The name of the release's objects. */}}
{{- define "xdhcpd.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The ClusterRole and the Role that all agents have: the controller's rules name them. */}}
{{- define "xdhcpd.agentRole" -}}
{{ include "xdhcpd.fullname" . }}-agent
{{- end -}}

{{- define "xdhcpd.controller" -}}
{{ include "xdhcpd.fullname" . }}-controller
{{- end -}}

{{/* What the pre-delete hook's objects are called. */}}
{{- define "xdhcpd.uninstall" -}}
{{ include "xdhcpd.fullname" . }}-uninstall
{{- end -}}

{{- define "xdhcpd.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- with .Values.image.registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}:{{ $tag }}
{{- end -}}

{{/* Labels of everything. */}}
{{- define "xdhcpd.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: xdhcpd
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* What tells the controller's pods from all others; it never changes. */}}
{{- define "xdhcpd.controllerSelector" -}}
app.kubernetes.io/name: xdhcpd
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end -}}

{{/* What pods of ours that are no agents may do on their node: nothing. */}}
{{- define "xdhcpd.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "xdhcpd.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* What makes an object part of the hook before the removal, with this weight. */}}
{{- define "xdhcpd.hook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
