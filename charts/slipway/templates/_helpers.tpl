{{/* Name of the chart. */}}
{{- define "slipway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Name of what is installed: the release, with the chart's name unless it is in there already. */}}
{{- define "slipway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "slipway.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: selectors. */}}
{{- define "slipway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "slipway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Labels on everything. */}}
{{- define "slipway.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "slipway.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: slipway
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Rules of the operator, by what it is to do. */}}
{{- define "slipway.rules" -}}
{{ .Files.Get "files/rules.yaml" | trim }}
{{- if .Values.secretSnapshots.enabled }}
{{ .Files.Get "files/rules-secrets.yaml" | trim }}
{{- end }}
{{- if or .Values.analysis.secrets.enabled .Values.stages.secrets.enabled .Values.alerts.enabled .Values.clusters.enabled }}
{{ .Files.Get "files/rules-metric-secrets.yaml" | trim }}
{{- end }}
{{- if .Values.clusters.enabled }}
{{ .Files.Get "files/rules-clusters.yaml" | trim }}
{{- end }}
{{- if .Values.previews.enabled }}
{{- if .Values.watchNamespaces }}
{{- fail "previews.enabled needs an operator that watches every namespace: leave watchNamespaces empty" }}
{{- end }}
{{ .Files.Get "files/rules-previews.yaml" | trim }}
{{- end }}
{{- end -}}

{{/* Rights in some namespaces and nowhere else take values that need no others. */}}
{{- define "slipway.namespaced.check" -}}
{{- if .Values.rbac.namespaced -}}
{{- if not .Values.watchNamespaces -}}
{{- fail "rbac.namespaced takes watchNamespaces: the namespaces in which the operator has rights" -}}
{{- end -}}
{{- if .Values.receiver.enabled -}}
{{- fail "rbac.namespaced takes receiver.enabled: false: to review tokens is a right of the whole cluster" -}}
{{- end -}}
{{- if .Values.admissionPolicies.hubs -}}
{{- fail "rbac.namespaced takes no admissionPolicies.hubs: their ClusterRole is one of the whole cluster" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels of what a hook makes: no selector of the operator finds it. */}}
{{- define "slipway.hookLabels" -}}
{{- $labels := include "slipway.labels" .root | fromYaml -}}
{{- toYaml (set $labels "app.kubernetes.io/component" .component) -}}
{{- end -}}

{{/* What the pods of hooks have in common with those of the operator. */}}
{{- define "slipway.hookPod" -}}
serviceAccountName: {{ .account }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* And their containers. */}}
{{- define "slipway.hookContainer" -}}
image: {{ include "slipway.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
{{- with .Values.extraEnv }}
{{ toYaml . | indent 2 }}
{{- end }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Name of the operator's ServiceAccount. */}}
{{- define "slipway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "slipway.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The image: by digest when there is one. */}}
{{- define "slipway.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* CEL: the users that are the operator. */}}
{{- define "slipway.policy.operators" -}}
{{- $users := list (printf "system:serviceaccount:%s:%s" .Release.Namespace (include "slipway.serviceAccountName" .)) -}}
{{- range .Values.admissionPolicies.extraOperators -}}{{- $users = append $users . -}}{{- end -}}
[{{- range $index, $user := $users -}}{{- if $index }}, {{ end -}}'{{ $user }}'{{- end -}}]
{{- end -}}

{{/* CEL: the users that operators of other clusters come as. */}}
{{- define "slipway.policy.hubs" -}}
[{{- range $index, $user := .Values.admissionPolicies.hubs -}}{{- if $index }}, {{ end -}}'{{ $user }}'{{- end -}}]
{{- end -}}

{{/* CEL: the users that Kubernetes cleans up as. Without them no namespace could be deleted. */}}
{{- define "slipway.policy.janitors" -}}
['system:serviceaccount:kube-system:generic-garbage-collector', 'system:serviceaccount:kube-system:namespace-controller', 'system:serviceaccount:kube-system:storage-version-migrator-controller', 'system:kube-controller-manager']
{{- end -}}

{{/* Name of the Service that takes logs and claims of stages. */}}
{{- define "slipway.receiver" -}}
{{ printf "%s-receiver" (include "slipway.fullname" . | trunc 54) }}
{{- end -}}

{{/* Name of the Service of the dashboard. */}}
{{- define "slipway.dashboard" -}}
{{ printf "%s-dashboard" (include "slipway.fullname" . | trunc 53) }}
{{- end -}}

{{/* Binding of a policy: everywhere, or in the watched namespaces only. */}}
{{- define "slipway.policy.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "slipway.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
  {{- with .root.Values.watchNamespaces }}
  matchResources:
    namespaceSelector:
      matchExpressions:
        - key: kubernetes.io/metadata.name
          operator: In
          values:
            {{- toYaml . | nindent 12 }}
  {{- end }}
{{- end -}}

{{/* The claim that logs are kept on, if they are. */}}
{{- define "slipway.logsClaim" -}}
{{- with .Values.receiver.logs.persistence -}}
{{- if .existingClaim -}}
{{- .existingClaim -}}
{{- else if or .enabled .storageClassName -}}
{{- include "slipway.fullname" $ -}}-logs
{{- end -}}
{{- end -}}
{{- end -}}
