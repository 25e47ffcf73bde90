# Completion of sightline's verbs and options for bash. The options of a verb are those that its
# --help lists, so nothing here needs to follow them.

_sightline_options() {
    local whole=()
    [[ $2 == bench && " ${COMP_WORDS[*]} " =~ " "(--pipeline|--ledger)" " ]] && whole=("${BASH_REMATCH[1]}")
    [[ $2 =~ ^(accel|bundle|model|slot)$ && $COMP_CWORD -gt 2 ]] && whole=("${COMP_WORDS[2]}")
    "$1" "$2" "${whole[@]}" --help 2>/dev/null | sed -nE 's/^ {2,8}(-[^ ]+, )?(--[a-z][a-z0-9-]*=?).*/\2/p' | sort -u
}

_sightline() {
    local word=${COMP_WORDS[COMP_CWORD]} verbs
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        verbs=$("$1" --help 2>/dev/null | sed -nE 's/^  ([a-z][a-z-]*) .*/\1/p')
        mapfile -t COMPREPLY < <(compgen -W "$verbs help --help --version" -- "$word")
    elif [[ $COMP_CWORD -eq 2 && ${COMP_WORDS[1]} =~ ^(accel|bundle|model|slot)$ && $word != -* ]]; then
        verbs=$("$1" "${COMP_WORDS[1]}" --help 2>/dev/null | sed -nE 's/^  ([a-z][a-z-]*) .*/\1/p')
        mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$word")
    elif [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(
            compgen -W "$(_sightline_options "$1" "${COMP_WORDS[1]}")" -- "$word")
        if [[ ${COMPREPLY[0]-} == *= ]]; then compopt -o nospace; fi
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        compopt -o filenames
    fi
}

complete -F _sightline sightline
