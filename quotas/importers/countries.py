"""Countries as files write them: a code of ISO 3166-1, or a name in English."""

from typing import Final

from config.names import fold

UNKNOWN: Final = "ZZ"  # kept free by the standard for whoever needs a code that is no country's

# Code, then its names; what people also write stands behind the usual one.
_NAMES: Final = """
AD Andorra|AE United Arab Emirates=UAE|AF Afghanistan|AG Antigua and Barbuda|AI Anguilla|AL Albania|AM Armenia|AO Angola
AQ Antarctica|AR Argentina|AS American Samoa|AT Austria|AU Australia|AW Aruba|AX Aland Islands|AZ Azerbaijan
BA Bosnia and Herzegovina=Bosnia|BB Barbados|BD Bangladesh|BE Belgium|BF Burkina Faso|BG Bulgaria|BH Bahrain|BI Burundi
BJ Benin|BL Saint Barthelemy|BM Bermuda|BN Brunei=Brunei Darussalam|BO Bolivia|BQ Bonaire|BR Brazil|BS Bahamas=The Bahamas
BT Bhutan|BV Bouvet Island|BW Botswana|BY Belarus|BZ Belize|CA Canada|CC Cocos Islands
CD Democratic Republic of the Congo=DR Congo|CF Central African Republic|CG Congo=Republic of the Congo
CH Switzerland|CI Ivory Coast=Cote d'Ivoire|CK Cook Islands|CL Chile|CM Cameroon|CN China=People's Republic of China
CO Colombia|CR Costa Rica|CU Cuba|CV Cape Verde=Cabo Verde|CW Curacao|CX Christmas Island|CY Cyprus
CZ Czech Republic=Czechia|DE Germany=Deutschland|DJ Djibouti|DK Denmark|DM Dominica|DO Dominican Republic|DZ Algeria
EC Ecuador|EE Estonia|EG Egypt|EH Western Sahara|ER Eritrea|ES Spain|ET Ethiopia|FI Finland|FJ Fiji|FK Falkland Islands
FM Micronesia|FO Faroe Islands|FR France|GA Gabon|GD Grenada|GE Georgia|GF French Guiana|GG Guernsey|GH Ghana|GI Gibraltar
GB United Kingdom=Great Britain=Britain=England=Scotland=Wales=Northern Ireland=UK
GL Greenland|GM Gambia=The Gambia|GN Guinea|GP Guadeloupe|GQ Equatorial Guinea|GR Greece|GS South Georgia|GT Guatemala
GU Guam|GW Guinea-Bissau|GY Guyana|HK Hong Kong=Hong Kong SAR|HM Heard Island|HN Honduras|HR Croatia|HT Haiti|HU Hungary
ID Indonesia|IE Ireland=Republic of Ireland|IL Israel|IM Isle of Man|IN India|IO British Indian Ocean Territory|IQ Iraq
IR Iran|IS Iceland|IT Italy|JE Jersey|JM Jamaica|JO Jordan|JP Japan|KE Kenya|KG Kyrgyzstan|KH Cambodia|KI Kiribati
KM Comoros|KN Saint Kitts and Nevis|KP North Korea|KR South Korea=Korea=Republic of Korea=Korea, Republic of|KW Kuwait
KY Cayman Islands|KZ Kazakhstan|LA Laos|LB Lebanon|LC Saint Lucia|LI Liechtenstein|LK Sri Lanka|LR Liberia|LS Lesotho
LT Lithuania|LU Luxembourg|LV Latvia|LY Libya|MA Morocco|MC Monaco|MD Moldova|ME Montenegro|MF Saint Martin|MG Madagascar
MH Marshall Islands|MK North Macedonia=Macedonia|ML Mali|MM Myanmar=Burma|MN Mongolia|MO Macao=Macau
MP Northern Mariana Islands|MQ Martinique|MR Mauritania|MS Montserrat|MT Malta|MU Mauritius|MV Maldives|MW Malawi
MX Mexico|MY Malaysia|MZ Mozambique|NA Namibia|NC New Caledonia|NE Niger|NF Norfolk Island|NG Nigeria|NI Nicaragua
NL Netherlands=The Netherlands=Holland|NO Norway|NP Nepal|NR Nauru|NU Niue|NZ New Zealand|OM Oman|PA Panama|PE Peru
PF French Polynesia|PG Papua New Guinea|PH Philippines|PK Pakistan|PL Poland|PM Saint Pierre and Miquelon|PN Pitcairn
PR Puerto Rico|PS Palestine|PT Portugal|PW Palau|PY Paraguay|QA Qatar|RE Reunion|RO Romania|RS Serbia
RU Russia=Russian Federation|RW Rwanda|SA Saudi Arabia|SB Solomon Islands|SC Seychelles|SD Sudan|SE Sweden|SG Singapore
SH Saint Helena|SI Slovenia|SJ Svalbard and Jan Mayen|SK Slovakia|SL Sierra Leone|SM San Marino|SN Senegal|SO Somalia
SR Suriname|SS South Sudan|ST Sao Tome and Principe|SV El Salvador|SX Sint Maarten|SY Syria|SZ Eswatini=Swaziland
TC Turks and Caicos Islands|TD Chad|TF French Southern Territories|TG Togo|TH Thailand|TJ Tajikistan|TK Tokelau
TL Timor-Leste=East Timor|TM Turkmenistan|TN Tunisia|TO Tonga|TR Turkey=Turkiye|TT Trinidad and Tobago|TV Tuvalu
TW Taiwan|TZ Tanzania|UA Ukraine|UG Uganda|UM United States Minor Outlying Islands
US United States=United States of America=USA=U.S.A.=U.S.=America|UY Uruguay|UZ Uzbekistan|VA Vatican City=Holy See
VC Saint Vincent and the Grenadines|VE Venezuela|VG British Virgin Islands|VI US Virgin Islands|VN Vietnam=Viet Nam
VU Vanuatu|WF Wallis and Futuna|WS Samoa|YE Yemen|YT Mayotte|ZA South Africa|ZM Zambia|ZW Zimbabwe|ZZ Unknown
"""
_CODES: Final[dict[str, str]] = {
    name.casefold(): entry[:2]
    for line in _NAMES.strip().splitlines()
    for entry in line.split("|")
    for name in (entry[:2], *entry[3:].split("="))
}


def country_code(text: str) -> str:
    """The code of a country that is written as its code or its name; empty for what is neither."""
    return _CODES.get(fold(text), "")
