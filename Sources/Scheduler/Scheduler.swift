// placeholder: the room's own files come next
