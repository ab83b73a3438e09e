# bash completion for overlaybdctl
_overlaybdctl_exports() {
    overlaybdctl "$@" list 2>/dev/null | awk 'NR > 1 {print $1}'
}

_overlaybdctl() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local commands="attach detach list show sessions snapshot resize quota redirect clone convert push pull copy version"
    local -a socket=()
    local command= i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --socket) socket=(--socket "${COMP_WORDS[++i]}") ;;
            -*) ;;
            *) command=${command:-${COMP_WORDS[i]}} ;;
        esac
    done
    case $previous in
        --socket | --config | --chap-file | --cred-file | --ca-file | --layer-db) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --upper | --work-dir) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
        --name | --target | --lun | --initiator | --quota | --redirect) return ;;
    esac
    if [[ -z $command ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands --socket --json --help" -- "$word")
        return
    fi
    case $command in
        attach)
            mapfile -t COMPREPLY < <(compgen -W "--config --name --insecure --target --lun --writable --writable=append
                --writable=sparse --upper --clone-per-initiator --clone-per-initiator=discard --quota --redirect --permanent
                --removable --initiator --chap-file --json --help" -- "$word") ;;
        quota | redirect)
            mapfile -t COMPREPLY < <(compgen -W "$(_overlaybdctl_exports "${socket[@]}") none --initiator --permanent --json --help" -- "$word") ;;
        clone)
            mapfile -t COMPREPLY < <(compgen -W "list keep commit remove $(_overlaybdctl_exports "${socket[@]}") --file --force --json --help" -- "$word") ;;
        detach | show | resize)
            mapfile -t COMPREPLY < <(compgen -W "$(_overlaybdctl_exports "${socket[@]}") --json --help" -- "$word") ;;
        snapshot)
            mapfile -t COMPREPLY < <(compgen -W "$(_overlaybdctl_exports "${socket[@]}") --upper --json --help" -- "$word") ;;
        convert)
            mapfile -t COMPREPLY < <(compgen -f -W "--insecure --cred-file --ca-file --work-dir --quiet --platform --vsize
                --algorithm --bs --threads --journal --referrer --docker --layer-db --no-reuse --help" -- "$word") ;;
        push | pull | copy)
            mapfile -t COMPREPLY < <(compgen -f -W "--insecure --cred-file --ca-file --work-dir --quiet --help" -- "$word") ;;
        *) mapfile -t COMPREPLY < <(compgen -W "--json --help" -- "$word") ;;
    esac
}

complete -F _overlaybdctl overlaybdctl
