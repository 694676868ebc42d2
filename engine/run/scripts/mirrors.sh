# shellcheck shell=sh disable=SC2154  # what is not set here is set by who sources this
# Names a company's registries and certificates to the tools, where nothing has named others. Sourced by gateway.sh with SWARM_IN and SWARM_WORK set.
# A setup also has the logins: SWARM_LOGIN_<REGISTRY> is user:password, as in a URL, and SWARM_AUTH_<REGISTRY> the same as http sends it.

. "$SWARM_IN/mirrors"  # mirror_pypi, …: URLs without a login, of the registries that have a mirror

# A URL with a login put in.
with_login() {
    echo "${1%%://*}://${2:+$2@}${1#*://}"
}

if [ -n "${mirror_pypi:-}" ]; then
    url=$(with_login "$mirror_pypi" "${SWARM_LOGIN_PYPI:-}")
    PIP_INDEX_URL=${PIP_INDEX_URL:-$url} UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$url} UV_INDEX_URL=${UV_INDEX_URL:-$url}
    PIPENV_PYPI_MIRROR=${PIPENV_PYPI_MIRROR:-$url} PDM_PYPI_URL=${PDM_PYPI_URL:-$url}
    export PIP_INDEX_URL UV_DEFAULT_INDEX UV_INDEX_URL PIPENV_PYPI_MIRROR PDM_PYPI_URL
fi
if [ -n "${mirror_npm:-}" ]; then
    NPM_CONFIG_REGISTRY=${NPM_CONFIG_REGISTRY:-$mirror_npm/} YARN_NPM_REGISTRY_SERVER=${YARN_NPM_REGISTRY_SERVER:-$mirror_npm}
    COREPACK_NPM_REGISTRY=${COREPACK_NPM_REGISTRY:-$mirror_npm} BUN_CONFIG_REGISTRY=${BUN_CONFIG_REGISTRY:-$mirror_npm/}
    export NPM_CONFIG_REGISTRY YARN_NPM_REGISTRY_SERVER COREPACK_NPM_REGISTRY BUN_CONFIG_REGISTRY
    if [ -n "${SWARM_AUTH_NPM:-}" ]; then
        NPM_CONFIG_GLOBALCONFIG=${NPM_CONFIG_GLOBALCONFIG:-$SWARM_IN/npmrc} YARN_NPM_AUTH_IDENT=${YARN_NPM_AUTH_IDENT:-$SWARM_AUTH_NPM}
        YARN_NPM_ALWAYS_AUTH=true
        export NPM_CONFIG_GLOBALCONFIG YARN_NPM_AUTH_IDENT YARN_NPM_ALWAYS_AUTH
    fi
fi
if [ -n "${mirror_go:-}" ]; then
    GOPROXY=${GOPROXY:-$(with_login "$mirror_go" "${SWARM_LOGIN_GO:-}")}
    export GOPROXY
fi
if [ -n "${mirror_rubygems:-}" ]; then
    BUNDLE_MIRROR__RUBYGEMS__ORG=${BUNDLE_MIRROR__RUBYGEMS__ORG:-$(with_login "$mirror_rubygems" "${SWARM_LOGIN_RUBYGEMS:-}")}
    export BUNDLE_MIRROR__RUBYGEMS__ORG
fi
if [ -n "${mirror_crates:-}" ] && [ ! -e "$SWARM_WORK/.cargo/config.toml" ]; then # cargo reads that above the work tree, and has no variable for it
    mkdir -p "$SWARM_WORK/.cargo"
    printf '[source.crates-io]\nreplace-with = "mirror"\n[registries.mirror]\nindex = "sparse+%s/"\n' "$mirror_crates" > "$SWARM_WORK/.cargo/config.toml"
    if [ -n "${SWARM_AUTH_CRATES:-}" ]; then
        CARGO_REGISTRIES_MIRROR_TOKEN="Basic $SWARM_AUTH_CRATES"
        export CARGO_REGISTRIES_MIRROR_TOKEN
    fi
fi

if [ -e "$SWARM_IN/authorities.pem" ]; then
    all="$SWARM_IN/all-authorities.pem"  # the system's and the company's, for tools that take one list in the place of theirs
    SSL_CERT_FILE=${SSL_CERT_FILE:-$all} REQUESTS_CA_BUNDLE=${REQUESTS_CA_BUNDLE:-$all} PIP_CERT=${PIP_CERT:-$all} CURL_CA_BUNDLE=${CURL_CA_BUNDLE:-$all}
    CARGO_HTTP_CAINFO=${CARGO_HTTP_CAINFO:-$all} GIT_SSL_CAINFO=${GIT_SSL_CAINFO:-$all} UV_NATIVE_TLS=${UV_NATIVE_TLS:-true}
    NPM_CONFIG_CAFILE=${NPM_CONFIG_CAFILE:-$all}  # a system's own npmrc may name one, which node's variable then does not change
    NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-$SWARM_IN/authorities.pem} DENO_CERT=${DENO_CERT:-$SWARM_IN/authorities.pem}
    export SSL_CERT_FILE REQUESTS_CA_BUNDLE PIP_CERT CURL_CA_BUNDLE CARGO_HTTP_CAINFO GIT_SSL_CAINFO UV_NATIVE_TLS NPM_CONFIG_CAFILE
    export NODE_EXTRA_CA_CERTS DENO_CERT
fi
