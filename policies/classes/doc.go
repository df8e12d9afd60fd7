// Package classes answers the questions of policies.Engine for whole populations. It sorts (person, thing) pairs into classes
// by what the policies of the action really read (policies.Reads): the attributes, how person and thing stand to each other,
// and whether a policy names them. All pairs of a class have the same answer, so the engine is asked once a class: sixty
// thousand people and fifteen questions each are a few hundred evaluations.
//
// It decides nothing itself, remembers nothing but answers of its engine, and never remembers a refusal to answer: an error
// is asked for anew, so that it names the person and not the class.
//
// Called by sync/provision through its Seater, and by whatever compares policies over all people and organizations.
package classes
