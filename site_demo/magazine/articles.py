"""The magazine's first number."""

ARTICLES = [
    {
        "slug": "slow-money",
        "title": "Slow Money",
        "author": "Ines Valadares",
        "price": "0.10",
        "teaser": (
            "A village bakery kept its books in bread for eleven years. What it learned about "
            "credit, no bank has written down."
        ),
        "body": """\
The ledger is a school exercise book with a green cover, and its unit of account is the loaf.
Under each family's name stand strokes, five to a bundle, and beside some bundles a date on
which the debt was crossed out. Nobody remembers who thought of it. The bakery had run out of
small change in the winter of a currency reform, and by spring the change was back but the
strokes had stayed.

A loaf is a curious sort of money. It cannot be hoarded, since it goes stale in two days. It
cannot be counterfeited, since everyone knows how many come out of the oven. And it cannot be
lent at interest to anyone who has eaten. What remains, when those three are taken away, is the
part of money that is only a promise between people who will meet again on Saturday.

Eleven years of strokes show a pattern that would please an actuary. Debts grew in November and
shrank in June, when the cherries paid. No family ever owed more than forty loaves, though
nobody had set a limit. And in all that time two debts went unpaid, both of them by people who
had died, and both were crossed out by the baker with the word that she also used for a batch
that had not risen: gone.

When the bank at last opened a branch, its first manager asked to see the book. He was looking
for bad debtors. He found instead that the bakery knew to the week who could pay for what, and
had never needed to know why. He closed the branch after three years. The book is in its
fourth volume.""",
    },
    {
        "slug": "quiet-engines",
        "title": "Quiet Engines",
        "author": "Tomasz Arendt",
        "price": "0.10",
        "teaser": (
            "The loudest thing about a well-made machine is the moment that it stops. Notes from "
            "forty years in the engine rooms of river ferries."
        ),
        "body": """\
You do not listen to an engine; you listen to the room. Metal that is about to give trouble
lends its voice to other things first: the floor plates, the lamp bracket, the tea in a glass.
My first chief could tell a tired bearing from the rings in his cup, and he would hold it out
to apprentices without a word until they saw it too.

We speak of progress in engines as if it were power, but in my trade it has been silence. The
ferry on which I began shook the reeds on both banks. The one from which I retired passed the
herons without their lifting a leg, and carried three times the people. Nothing in between was
an invention. It was four decades of moving each thing a little nearer to where it wanted to be.

That is the part that is hard to teach. A young engineer wants to find the fault. But most of
what ails a machine is no fault at all; it is a hundred parts that are each within tolerance
and do not quite agree. You cannot replace them. You can only go round again, with a spanner
and a rag, and ask each of them for a hair's breadth.

On my last day I stopped her myself. The passengers, who had never once heard the engine,
looked up all together, as people do when a clock ceases in a room.""",
    },
    {
        "slug": "deep-archive",
        "title": "The Deep Archive",
        "author": "Mei-Lin Osei",
        "price": "1.00",
        "teaser": (
            "Under a mountain, a library keeps only what nobody asked for. Three weeks among the "
            "unread, and what they are for."
        ),
        "body": """\
The rule of admission is printed on the door: twenty years without a request. Every library
that subscribes sends its silent books here, by rail and then by a lift that was built for
salt. They are shelved by date of arrival, for there is no other order that would still mean
something to them all.

I had come to write about waste. A nation keeps nine million volumes at eight degrees so that
nobody may read them; surely there was a piece in that. The archivist, a patient man with a
cold, let me say so, and then asked me to choose a shelf. Any shelf. I was to stay until I had
found nothing on it.

It took me three weeks to give up. On the second day there was a handbook of hand signals for
quarry cranes, which settled a question on which a colleague had spent a grant. On the fifth,
a run of a beekeepers' bulletin with the weather of one valley for every day of thirty-one
years. On the ninth, a novel, privately printed, dedicated to a woman whose name I bear. None
of them had been asked for, because nobody had known that there was anything to ask.

A catalogue answers questions. The deep archive keeps the answers whose questions have not been
thought of yet, and there is no way of telling from outside how many of them will ever come.
"You could digitise it," I said. "We have," he said. "It is over there. Nobody has asked for
that either." And he blew his nose, and showed me the lift.""",
    },
    {
        "slug": "the-long-now-of-soup",
        "in_part": "yes",
        "title": "The Long Now of Soup",
        "author": "Farah Lindqvist",
        "price": "0.10",
        "teaser": "A pot that has not been empty since 1953, and the philosophical trouble it causes.",
        "body": """\
Is it the same soup? The question is asked by every second guest, and the cook has three
answers, which she gives in rotation. Yes, because it has never stopped. No, because you have
never tasted it before. And: eat, it is getting cold.

The pot itself has been replaced twice. The fire went out for a night in 1978, and some purists
date the present soup from the morning after. What has been kept, she says, is not a liquid but
a habit: whatever is left at midnight is never thrown away, and whatever is added in the
morning must get along with it. In this way a kitchen remembers. There is a trace of a wedding
in it somewhere, and of a strike.

Regulars claim to taste the decades. I could not. But I noticed that nobody in that room was in
a hurry, and that when the bowl was set before me I thought, as one rarely does of lunch, about
who would be eating from it when I no longer could.""",
    },
]
