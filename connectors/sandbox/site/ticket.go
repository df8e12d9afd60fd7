package site

// Ticket is a work item in the ground truth.
type Ticket struct {
	ID            string          `json:"id"`
	Key           string          `json:"key"`
	Type          string          `json:"type"` // the request type's id
	Summary       string          `json:"summary"`
	Description   string          `json:"description"` // plain text
	Status        string          `json:"status"`
	Done          bool            `json:"done"`
	Reporter      string          `json:"reporter"`
	Participants  []string        `json:"participants"`
	Organizations []string        `json:"organizations"` // names
	Labels        []string        `json:"labels"`
	Comments      []TicketComment `json:"comments"`
	Files         []TicketFile    `json:"files"`
}

// TicketComment is a comment in the ground truth.
type TicketComment struct {
	ID     string `json:"id"`
	Author string `json:"author"`
	Body   string `json:"body"`
	Public bool   `json:"public"`
}

// TicketFile is an attachment in the ground truth.
type TicketFile struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Size   int    `json:"size"`
	Public bool   `json:"public"`
}
