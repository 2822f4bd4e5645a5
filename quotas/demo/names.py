"""Invented people and companies. Full names come from dice; a likeness to anybody is chance."""

from quotas.demo.dice import Dice


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIVEN = {
    "english": _words(
        "Alex Amara Beth Callum Dana Devon Elena Ethan Fiona Grace Harper Imani Isaac Jade Jordan Kiran Laurel Malik Maya"
        " Morgan Nadia Nolan Omar Paige Quinn Reid Rosa Sienna Tara Theo Vera Wes Yusuf Zoe"
    ),
    "latin": _words(
        "Adriana Bruno Camila Davi Elisa Fabio Gabriela Heitor Iara Joaquin Karina Lucas Mariana Nicolas Otavio Paloma"
        " Rafael Sabrina Tomas Valeria Ximena Yara"
    ),
    "german": _words(
        "Anja Bastian Carla Dominik Elke Florian Greta Henning Ilka Jonas Katrin Lennart Mara Nils Ottilie Philipp"
        " Ronja Sven Tabea Urs Verena Wiebke"
    ),
    "french": _words(
        "Adele Bastien Camille Dorian Elodie Florent Gaelle Hugo Ines Joris Lea Maarten Noemie Odile Pieter Romane"
        " Sander Thibault Valentine Wout Yasmine"
    ),
    "southern": _words(
        "Alba Bruna Carmine Dafne Enzo Flavia Gonzalo Helena Irene Joana Kostas Lorenzo Marta Nuno Olivia Paola"
        " Rui Silvia Tiago Vasiliki"
    ),
    "nordic": _words(
        "Aksel Birgit Casper Ditte Eero Freja Gustaf Hanne Ingrid Jens Kaisa Linnea Magnus Nanna Oskar Petra Runa"
        " Sanna Tuomas Vilja"
    ),
    "gulf": _words(
        "Aisha Bandar Chidi Dalia Faisal Ghada Hamza Jana Khalid Layla Mariam Nasser Oluchi Rania Sami Thandi"
        " Youssef Zainab"
    ),
    "japanese": _words(
        "Akira Chihiro Daichi Emi Fumiko Haruka Itsuki Kaori Kenta Mai Naoki Reina Ryota Sakura Shun Tomoko Yui Yuto"
    ),
    "indian": _words(
        "Aarav Bhavna Chetan Deepa Esha Farhan Gauri Harish Ishita Jatin Kavya Lakshmi Manoj Nandini Om Pallavi"
        " Rohan Shreya Tanvi Uday Vikram"
    ),
    "asian": _words(
        "Anh Budi Chanida Dewi Farah Guan Hana Iskandar Jia Kamal Linh Mei Nattapong Putri Rizal Siti Tuan Wei Yan"
    ),
}

FAMILY = {
    "english": _words(
        "Adeyemi Ashdown Barlow Brightwell Carrow Castellan Delacourt Draycott Eastbrook Fairholm Garrick Hallam"
        " Harrowby Inchbald Jessop Kestrel Lockridge Marchetti Merrow Nakamoto Norwood Okafor Pemberton Quillon"
        " Rainford Redfern Sandoval Selwyn Thackery Underhill Vantongeren Wexford Whitlock Yarrow"
    ),
    "latin": _words(
        "Abrantes Barroso Caldeira Dominguez Espindola Figueroa Galvao Huerta Iturbe Junqueira Lacerda Montoya"
        " Noriega Olivares Pacheco Quintana Ribeiro Salgado Teixeira Urrutia"
    ),
    "german": _words(
        "Altmeier Brandstetter Dreier Ehrlinger Falkenried Gersbach Hollenstein Jungwirth Krenn Lindauer Moosbrugger"
        " Niedermann Oberwald Pfisterer Reinholz Sonnleitner Tannhofer Ulbrecht Vogtland Wiesinger Zumstein"
    ),
    "french": _words(
        "Aubertin Beaurepaire Claes Delorme Engelen Fontvieille Goossens Hautecoeur Jacquemin Kerbrat Lemarchand"
        " Marchal Noirot Oosterhuis Peeters Quintard Roussillon Verbruggen Wouters"
    ),
    "southern": _words(
        "Albanese Bellido Castelnovo Dimakis Escudero Ferrante Gallardo Imbriani Lourenco Mavridis Navarrete Orsini"
        " Palmeira Quaresma Rosales Santangelo Tavares Velasquez"
    ),
    "nordic": _words(
        "Aaltonen Bergqvist Dahlgaard Ekstrand Fagerholm Gronlund Halvorsen Isaksen Jokinen Kjeldsen Lindahl Mortensen"
        " Nystrom Ostergaard Rautio Skoglund Thorsrud Virtala"
    ),
    "gulf": _words(
        "Adebanjo Alnasser Bakri Darwish Eltayeb Farouki Haddadin Ibrahimi Kanaan Mahlangu Nkosana Otaibi Qadri Rashidi"
        " Sabbagh Tannous Zaytoun"
    ),
    "japanese": _words(
        "Asakura Fujimori Hayasaka Ishiguro Kanzaki Kuroda Matsuno Minagawa Nishizawa Okabe Sakuraba Shimokawa"
        " Tachibana Uchiyama Yanagida Yoshinaga"
    ),
    "indian": _words(
        "Acharya Bhattarai Chandran Deshpande Gokhale Hegde Iyengar Joshipura Kulkarni Mahadevan Narayanan Pillai"
        " Raghavan Sabharwal Tendulkarni Upadhyay Venkatesan"
    ),
    "asian": _words(
        "Anggraini Boonmee Chai Darmawan Hartono Jaafar Koh Limanto Nguyenphan Ong Pranoto Rahmat Saetang Suryadi"
        " Tranvu Widodo Yeoh"
    ),
}

_STARTS = _words(
    "Aver Bramma Calo Dreva Elith Fenwa Gorrin Halver Istra Jorva Kestri Luma Morva Nerri Orsta Pella Quori Rava Sorre"
    " Tamsi Ulve Venta Wyrra Yoska Zerri Ambri Corve Delva Fario Hesti"
)
_ENDS = _words("den dor lund mere nar quist rock stead tor vale wyn zen bek lane")

TRADES = {
    "Financial services": ("Bank", "Mutual", "Capital", "Insurance", "Payments"),
    "Health": ("Clinics", "Therapeutics", "Diagnostics", "Care"),
    "Manufacturing": ("Works", "Components", "Machines", "Coatings"),
    "Retail": ("Stores", "Foods", "Outfitters", "Home"),
    "Telecommunications": ("Telecom", "Networks", "Fibre"),
    "Energy": ("Energy", "Grid", "Renewables"),
    "Logistics": ("Freight", "Logistics", "Lines"),
    "Media": ("Media", "Studios", "Press"),
    "Software": ("Software", "Systems", "Labs"),
    "Professional services": ("Partners", "Advisory", "Legal"),
}
OFFICES = {
    "Government": ("City of {}", "County of {}", "{} Revenue Office", "{} Transport Authority"),
    "Education": ("University of {}", "{} Institute of Technology", "{} Schools"),
    "Public health": ("{} Health Board", "{} University Hospital"),
}

USES = {
    "Financial services": (
        "Claims assistant",
        "Credit memo drafting",
        "Know-your-customer review",
        "Advisor copilot",
    ),
    "Health": ("Clinical note summaries", "Trial protocol search", "Patient letter drafting"),
    "Manufacturing": ("Maintenance assistant", "Design review agent", "Supplier document search"),
    "Retail": ("Product description studio", "Customer service agent", "Demand notes summaries"),
    "Telecommunications": ("Network ticket triage", "Contact centre summaries", "Offer assistant"),
    "Energy": ("Field report assistant", "Permit document search", "Trading desk notes"),
    "Logistics": ("Customs paperwork agent", "Dispatch assistant", "Freight quote drafting"),
    "Media": ("Archive search", "Subtitle drafting", "Editorial assistant"),
    "Software": ("Code assistant", "Support copilot", "Test generation", "Code review agents"),
    "Professional services": ("Contract review", "Research assistant", "Proposal drafting"),
    "Government": ("Citizen letters assistant", "Case file search", "Permit triage"),
    "Education": ("Tutoring assistant", "Admissions desk", "Research literature search"),
    "Public health": ("Waiting list triage", "Discharge letters", "Ward assistant"),
}


def person(dice: Dice, culture: str, taken: set[str], team: set[str] | None = None) -> str:
    """A full name that nobody in *taken* has, and as a rule a family name that nobody in *team* has; both learn it."""
    while True:
        family = dice.pick(FAMILY[culture])
        for _ in range(8):
            if team is None or family not in team:
                break
            family = dice.pick(FAMILY[culture])
        name = f"{dice.pick(GIVEN[culture])} {family}"
        if name not in taken:
            taken.add(name)
            if team is not None:
                team.add(family)
            return name


def customer(dice: Dice, *, public: bool, taken: set[str]) -> tuple[str, str]:
    """(name, industry) of a customer that is in *taken* from then on."""
    while True:
        place = f"{dice.pick(_STARTS)}{dice.pick(_ENDS)}"
        if public:
            industry = dice.pick(tuple(OFFICES))
            name = dice.pick(OFFICES[industry]).format(place)
        else:
            industry = dice.pick(tuple(TRADES))
            name = f"{place} {dice.pick(TRADES[industry])}"
        if name not in taken:
            taken.add(name)
            return name, industry


def slug(name: str) -> str:
    """ASCII names only, as they are here."""
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
