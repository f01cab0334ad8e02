"""RDF as programs write it, for the tests of keywords."""

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"


def rdf(*tags: str, kind: str = "Bag", node: str = "rdf:Description") -> str:
    items = "".join(f"<rdf:li>{tag}</rdf:li>" for tag in tags)
    return (
        f'<rdf:RDF xmlns:rdf="{RDF}" xmlns:dc="{DC}" xmlns:cc="urn:cc"><{node} rdf:about="">'
        f"<dc:title>no tag</dc:title><dc:subject><rdf:{kind}>{items}</rdf:{kind}></dc:subject>"
        f"</{node}></rdf:RDF>"
    )
