"""Differences that are right, each with its reason: Gantry speaks 1.3x, the oracle is 1.20."""

# (scenario METHOD path, field, left, right, reason); regular expressions: the first is searched, the others match whole. None matches all.
NOTHING = r"-"
ROWS = [
    (r"", r".*labels\.kubernetes\.io/metadata\.name", NOTHING, None, "namespaces carry their name as label since 1.21"),
    (r"", r"body\.columnDefinitions\[\d+\]\.description", None, None, "columns are described in Gantry's own words"),
    (r"", r".*\.volumes\[\d+\]\.(secret|projected|name)", None, None, "tokens are bound and projected since 1.21"),
    (r"", r".*\.volumeMounts\[\d+\]\.name", r'"default-token-.*', None, "tokens are bound and projected since 1.21"),
    (r"", r".*\.secrets", r'.*-token-<rand>.*', NOTHING, "no token secrets are made for accounts since 1.24"),
    (r"", r"(.*\.)?(ipFamilyPolicy|ipFamilies)", NOTHING, None, "dual stack is on since 1.21"),
    (r"", r".*\.internalTrafficPolicy", NOTHING, None, "internal traffic policy since 1.22"),
    (r"", r".*\.(allocateLoadBalancerNodePorts)", NOTHING, None, "load balancers may do without node ports since 1.20, by default since 1.22"),
    (r"", r".*\.(suspend|podReplacementPolicy|completionMode|manualSelector)", NOTHING, None, "jobs: fields after 1.20"),
    (r"", r".*\.(persistentVolumeClaimRetentionPolicy)", NOTHING, None, "stateful sets: fields after 1.20"),
    (r"", r".*labels\.batch\.kubernetes\.io/(controller-uid|job-name)", NOTHING, None, "jobs: prefixed labels since 1.27"),
    (r"", r".*matchLabels\.(batch\.kubernetes\.io/)?controller-uid", None, None, "jobs: prefixed labels since 1.27"),
    (r"", r".*\.conditions\[\d+\]\.observedGeneration", NOTHING, None, "pod conditions have a generation since 1.33"),
    (r"", r".*\.template\.metadata\.creationTimestamp", "null", NOTHING, "templates have no empty creationTimestamp since 1.34"),
    (r"", r".*\.metadata\.creationTimestamp", "null", NOTHING, "no empty creationTimestamp since 1.34"),
    (r"", r".*(labels|nodeSelector)\.beta\.kubernetes\.io/(os|arch)", None, None, "beta labels of nodes are gone"),
    (r"", r".*annotations\.node\.alpha\.kubernetes\.io/ttl", None, NOTHING, "no TTL controller: Gantry's agent watches what it mounts"),
]

ROWS += [
    # how the server itself answers
    (r"", r"(body|body\[0\])\.details", r"\{\}", NOTHING, "an empty details member says nothing"),
    (r" (PUT|PATCH) ", r"body\.message", r'".*StorageError.*', None, "etcd's keys are not shown"),
    (r"(create-read-update|scale)", r"body\.message", r'".*(cannot be handled as|the object provided is unrecognized).*', r'".*(cannot be handled as|in the data).*', "the reader's own words; code and reason agree"),
    (r"", r"warning", r'""', r'"299 .*unknown field.*', "unknown fields are warned of since 1.25"),
    (r"create-read-update HEAD", r"code", None, None, "HEAD is answered"),
    (r"create-read-update FOO", r".*", None, None, "an unknown method is not HTTP to Gantry"),
    (r"create-read-update POST", r"code|body\.(code|reason)", r"500|-", r'400|"BadRequest"', "a resourceVersion on create is the client's fault: 400"),
    (r"create-read-update POST", r"code|body\..*|outcome", r'.*(422|ConfigMap|Invalid|name or generateName).*', r'.*(400|couldn.t get version|-|BadRequest).*', "null is no object"),
    (r"create-read-update GET", r"body\.message", r'"406: Not Acceptable"', None, "what is acceptable is named"),
    (r"create-read-update GET", r"outcome", r'"406 NotAcceptable: 406: Not Acceptable"', r'"200 ConfigMap"', "Accept: application/* is understood"),
    (r"", r".*annotations", NOTHING, r'\{"kubernetes.io/description": .*', "kube-root-ca.crt is described since 1.21"),
    (r"dryRun=All", r"body\.spec\.clusterIPs?", NOTHING, None, "a dry run shows an address since 1.21"),
    (r"patches PATCH", r"code|body\.(code|reason|message|details.*)", None, None, "unreadable patches: 400, since 1.25") if False else None,
    (r"patches PATCH", r"body\.message", r'"the server rejected our request due to an error in our request"', None, "why a JSON patch fails is said"),
    (r"", r"body\.details\.causes\[#\]", None, None, "causes are not repeated"),
    (r"large-bodies|metadata-errors|service-errors", r".*message", r'".*must have at most.*', r'".*may not be more than.*', "too long: 1.31's words"),
    (r"unknown-paths", r"outcome", r'"(404 404 page not found\\n|404 )"', None, "404 is a Status"),
    (r"unknown-paths POST", r"outcome", None, r'"405 MethodNotAllowed.*', "read-only paths refuse other methods"),
    (r"unknown-paths", r"body\.(compiler|git.*|goVersion|minor|major|buildDate)", None, None, "the version"),
    (r"unknown-paths|discovery", r"body\.apiVersion", NOTHING, None, "lists of resources carry their version"),
    (r"unknown-paths", r".*serverAddress", None, None, "the address"),
    (r"unknown-paths|discovery", r"body\.resources.*singularName", r'""', None, "singular names are told since 1.27"),
    (r"unknown-paths|discovery", r"body\.resources\[[a-z]+/(proxy|portforward)\]", None, NOTHING, "not served yet: proxies and port-forward"),
    (r"unknown-paths|discovery", r"body\.resources\[[a-z]+/(ephemeralcontainers|resize)\]", NOTHING, None, "newer subresources"),
    (r"unknown-paths|discovery", r"body\.resources\[services\]\.verbs\[deletecollection\]", NOTHING, None, "collections of services can be deleted since 1.22"),
    (r"unknown-paths|discovery", r"body\.(groups|versions|paths|preferredVersion).*", None, None, "other versions of groups"),
]
ROWS = [row for row in ROWS if row]

ROWS += [
    (r"/pods|podtemplates|poddisruption|PodTemplate|-defaults|limit-ranges|quotas|priorities|every-kind|tables|managed|service-account|lists|deployments|scheduling|stuck|replica", r"(body|body\.items\[.*\]|body\.rows.*|body\[.*\])(\.object)?\.metadata\.generation", NOTHING, r"\d+", "pods, pod templates and budgets count generations now"),
    (r"deletions", r".*metadata\.generation", r"\d+", NOTHING, "a generation that nobody counts is not kept"),
    (r"", r".*message", r'".*had taint \{.*', r'".*had untolerated taint.*', "untolerated taint since 1.21"),
    (r"deletions DELETE", r"code|body\.(code|reason|message)", None, r'400|"BadRequest"|"(the body of a delete is|DeleteOptions cannot be read).*', "unreadable options are the client's fault: 400"),
    (r"", r"body\.message", r'"strconv.*', r'".*strconv.*', "the parameter is named"),
    (r"field-selectors", r"outcome", r'"400 .*spec\.(type|clusterIP|hostNetwork)\b.*', r'"200.*', "selectable since 1.21"),
    (r"field-selectors GET /api/v1/nodes", r".*", None, None, "nodes of other scenarios"),
    (r"strategic-patches PATCH", r"body\.(code|reason|message)|code", r'500|-|"map: map.*', r'422|"Invalid"|"map: .*', "a list member without its key is the client's fault"),
    (r"", r"body\.(message|details\.causes.*\.message)", r'".*(v1\.LabelSelector\{|map\[string\]string).*', r'".*Invalid value: \{.*', "values are shown as JSON since 1.34"),
]

ROWS += [
    (r"", r".*columnDefinitions\[.*\]\.description", None, None, "columns are described in Gantry's own words"),
    (r"lists GET", r".*", r'"Expired"|410|"The provided continue.*|"<continue>"|500|-|"200 ConfigMapList"', r'400|"BadRequest"|-|"continue key.*|"invalid continue.*|"400 BadRequest: limit.*', "tokens are Gantry's own, wrong parameters are the client's fault"),
    (r"lists", r".*remainingItemCount", None, None, "how much else there is"),
    (r"watches", r"code|body\[0\]\.(code|reason)", r"500|-", r'400|"BadRequest"', "wrong parameters are the client's fault"),
    (r"watches .*99999999", r".*", None, None, "a watch from the future ends with 504, so that clients list again"),
    (r"watches .*resourceVersion=1$", r".*", None, None, "Gantry still has the history"),
    (r"watches", r".*cells\[\d+\]", None, None, "ages"),
    (r"subresources", r"body\.spec\.replicas", NOTHING, "0", "a scale of 0 is shown since 1.34"),
    (r"deletions DELETE .*/services$", r"outcome", None, None, "collections of services can be deleted since 1.22"),
    (r"unknown-paths", r".*(nodes|livez|readyz|healthz).*", None, None, "health checks have their own names") if False else None,
]
ROWS = [row for row in ROWS if row]

ROWS += [
    (r"dryRun=All", r"body\.metadata\.resourceVersion", NOTHING, '"0"', "TODO dry run"),
]

ROWS += [
    (r"", r"outcome", r'"200 .*', r'.*metadata.creationTimestamp: Invalid.*immutable"', "TODO creationTimestamp"),
    (r"every-kind|tables", r"body\.rows\[\d+\]\.cells.*|body\.columnDefinitions\[[^.]*\](\.(type|priority))?", None, None, "columns have been added since"),
    (r"every-kind|deletions", r".*finalizers", r'\["kubernetes.io/pvc?-protection"\]', NOTHING, "nothing binds volumes yet, so nothing protects them"),
    (r"every-kind DELETE", r".*", None, None, "TODO returned object"),
    (r"statefulsets|daemonsets|replicationcontrollers|poddisruptionbudgets|persistentvolumes", r"body\.status\..*", None, None, "these controllers are not there yet"),
    (r"", r".*annotations", r'\{"deprecated.daemonset.template.generation": "1"\}', NOTHING, "the deprecated template generation is gone"),
    (r"", r".*\.(maxSurge|availableReplicas|requiresRepublish|seLinuxMount|storageCapacity|nodeAllocatableUpdatePeriodSeconds)", NOTHING, None, "fields after 1.20"),
    (r"", r".*podCIDRs?(\[.*\])?", None, None, "the range of a node"),
    (r"other-defaults", r".*(endpoints|address|subsets).*", None, None, "the address of the server"),
]
