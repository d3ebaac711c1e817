"""Where events leave to. A sink is a cursor over the database; it moves after the other end has said yes."""
